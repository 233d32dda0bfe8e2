/** SHA-256 of what is read piece by piece. */

/** Node's cryptography takes longer to load than a file's headers take to read. */
export async function sha256Hasher() {
  const { createHash } = await import('node:crypto');
  return () => {
    const hash = createHash('sha256');
    return { update: (bytes: Uint8Array) => void hash.update(bytes), digest: () => hash.digest('hex') };
  };
}
