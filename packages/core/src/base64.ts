/** Bytes as base64 (RFC 4648, with padding), for JSON. */

/** Characters that are made at once: functions take no more arguments than that everywhere. */
const CHUNK = 8192;

export function toBase64(bytes: Uint8Array): string {
  const parts: string[] = [];
  for (let at = 0; at < bytes.length; at += CHUNK) {
    parts.push(String.fromCharCode(...bytes.subarray(at, at + CHUNK)));
  }
  return btoa(parts.join(''));
}

/** Characters of `bytes` bytes. */
export function base64Length(bytes: number): number {
  return 4 * Math.ceil(bytes / 3);
}

/** The bytes of a text as `toBase64` writes it; null for any other text. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  const bytes = decoded(text);
  return bytes && toBase64(bytes) === text ? bytes : null;
}

/** `atob` takes white space and missing padding too. */
function decoded(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}
