/** What has been opened is closed, whatever comes of what is made of it. */

export interface Closeable {
  close(): Promise<void>;
}

/** What is made of something that was opened; where that fails, it is closed. */
export async function closingOnError<T>(opened: Closeable, make: () => T | Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    await opened.close();
    throw error;
  }
}
