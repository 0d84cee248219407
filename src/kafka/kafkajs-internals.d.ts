declare module 'kafkajs/src/network/requestQueue/index.js' {
  const RequestQueue: { prototype: { scheduleCheckPendingRequests: () => void } };
  export default RequestQueue;
}

declare module 'kafkajs/src/broker/index.js' {
  import type { FetchedPartition } from './aborted-records-repair.js';

  const Broker: {
    prototype: {
      fetch: (
        this: unknown,
        request: unknown,
      ) => Promise<{ responses: readonly { partitions: readonly FetchedPartition[] }[] }>;
    };
  };
  export default Broker;
}
