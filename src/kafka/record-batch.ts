/** Record batches of format 2: where fields are, as https://kafka.apache.org/documentation/#recordbatch has them. */

export const RECORD_BATCH = {
  length: 8,
  /** What the length does not count: the first offset and itself. */
  prefix: 12,
  magic: 16,
  checksum: 17,
  /** The checksum is of this and all behind it. */
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  count: 57,
  records: 61,
} as const;
export const RECORD_BATCH_MAGIC = 2;

/** Bits of the attributes. */
export const COMPRESSION = 0x07;
export const LOG_APPEND_TIME = 0x08;
export const TRANSACTIONAL = 0x10;
export const CONTROL = 0x20;
