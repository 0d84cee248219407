declare module 'kafkajs/src/network/requestQueue/index.js' {
  const RequestQueue: { prototype: { scheduleCheckPendingRequests: () => void } };
  export default RequestQueue;
}

declare module 'kafkajs/src/network/connection.js' {
  interface Connection {
    /** Null but while it authenticates. */
    authHandlers: object | null;
    readonly requestQueue: {
      fulfillRequest(response: { size: number; correlationId: number; payload: Buffer }): void;
    };
    processData: (this: Connection, data: Buffer) => void;
  }
  const Connection: { prototype: Connection };
  export default Connection;
}

declare module 'kafkajs/src/broker/index.js' {
  export interface Protocol {
    readonly request: { readonly apiVersion: number; readonly encode: () => Promise<unknown> };
    readonly response: { readonly decode: (payload: Buffer) => Promise<unknown> };
  }
  interface Broker {
    lookupRequest: (key: number, definition: unknown) => (options: unknown) => Protocol;
    fetch: (this: Broker, request: unknown) => Promise<unknown>;
    produce: (this: Broker, request: unknown) => Promise<unknown>;
  }
  const Broker: { prototype: Broker };
  export default Broker;
}

declare module 'kafkajs/src/protocol/message/compression/index.js' {
  /** The codec of a batch; undefined where it is not compressed. Throws for codecs that nobody has registered. */
  export function lookupCodecByAttributes(
    attributes: number,
  ): { decompress: (bytes: Buffer) => Promise<Buffer> } | null;
}

declare module 'kafkajs/src/protocol/encoder.js' {
  export default class Encoder {
    buf: Buffer;
    offset: number;
    readonly buffer: Buffer;
    constructor(initialSize?: number);
  }
}
