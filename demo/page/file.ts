/** The server takes no more; said here before anything is sent. */
const MAX_BYTES = 32 * 1024 * 1024;

/**
 * Looks whether a file can be sent at all. A browser says of one that it cannot read no more than that the request failed.
 * @throws Error with a sentence for people
 */
export async function checkFile(file: Pick<File, 'name' | 'size' | 'slice'>): Promise<void> {
  const { name, size } = file;
  if (size > MAX_BYTES) throw new Error(`"${name}" is too large: expected at most 32 MiB.`);
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Error(`"${name}" cannot be read: expected a file that is still there, and no folder.`);
  }
}
