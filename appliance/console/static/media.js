// Microphone and camera: which there are, and why there may be none, in words.

/** Thrown when there is no media to send; `kind` is denied, missing, busy, insecure or other. */
export class MediaError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

const MESSAGES = {
  NotAllowedError: ["denied", "The browser refused microphone and camera. Allow them for this page (the icon beside the address), then call again."],
  NotFoundError: ["missing", "The browser found no such microphone or camera. Choose another, or choose “none”."],
  OverconstrainedError: ["missing", "The chosen microphone or camera is gone. Choose another."],
  NotReadableError: ["busy", "Microphone or camera is in use by another program, or its driver refuses."],
  AbortError: ["busy", "Microphone or camera could not be started."],
};

export function explainMediaError(error) {
  const [kind, message] = MESSAGES[error.name] ?? ["other", `Microphone or camera failed: ${error.message || error.name}`];
  return new MediaError(kind, message);
}

/** { audioinput: [...], videoinput: [...] }; names are only told once a device has been allowed. */
export async function devices() {
  const found = { audioinput: [], videoinput: [] };
  if (!navigator.mediaDevices) return found;
  for (const device of await navigator.mediaDevices.enumerateDevices()) found[device.kind]?.push(device);
  return found;
}

/** Fill a <select> with devices, keeping the choice where it still exists. "" is the default device, "none" is none. */
export function fillPicker(select, list, word) {
  const chosen = select.value;
  const options = [new Option(`Default ${word}`, ""), ...list.filter((device) => device.deviceId !== "" && device.deviceId !== "default")
    .map((device, index) => new Option(device.label || `${word} ${index + 1}`, device.deviceId)), new Option("none", "none")];
  select.replaceChildren(...options);
  if (options.some((option) => option.value === chosen)) select.value = chosen;
}

const wish = (choice, further = {}) => {
  if (choice === "none") return false;
  return choice === "" ? (Object.keys(further).length ? further : true) : { ...further, deviceId: { exact: choice } };
};

/** The chosen microphone and camera as a stream; null where both are "none". Throws MediaError. */
export async function capture(microphone, camera) {
  const audio = wish(microphone, { echoCancellation: true });
  const video = wish(camera, { width: { ideal: 640 }, height: { ideal: 480 } });
  if (!audio && !video) return null;
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new MediaError("insecure", "Browsers give microphone and camera only to pages opened by https or from localhost. "
      + "Open this page as http://localhost, or choose “none” for both.");
  }
  try {
    return await navigator.mediaDevices.getUserMedia({ audio, video });
  } catch (error) {
    throw explainMediaError(error);
  }
}
