import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';

import { openAt } from '../recording/l1f-writer.js';
import { partialPath } from '../recording/recording.js';

/** A text file that grows at its {@link partialPath}, knows its length, and can be cut back to an earlier one. */
export class AppendedFile {
  readonly path: string;
  readonly #file: FileHandle;
  #bytes: number;

  private constructor(path: string, file: FileHandle, bytes: number) {
    this.path = path;
    this.#file = file;
    this.#bytes = bytes;
  }

  static async create(path: string): Promise<AppendedFile> {
    return new AppendedFile(path, await open(partialPath(path), 'w'), 0);
  }

  /** Go on behind the first `bytes`; throws TriggerError INPUT_REFUSED where there are fewer. */
  static async resume(path: string, bytes: number): Promise<AppendedFile> {
    return new AppendedFile(path, await openAt(partialPath(path), bytes), bytes);
  }

  get bytes(): number {
    return this.#bytes;
  }

  async append(text: string): Promise<void> {
    const bytes = Buffer.from(text);
    let written = 0;
    while (written < bytes.length) {
      const { bytesWritten } = await this.#file.write(bytes, written, bytes.length - written, this.#bytes + written);
      written += bytesWritten;
    }
    this.#bytes += written;
  }

  async sync(): Promise<void> {
    await this.#file.datasync();
  }

  async truncate(bytes: number): Promise<void> {
    await this.#file.truncate(bytes);
    this.#bytes = bytes;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
