/** How single kafkajs requests are encoded and their responses decoded here: on a broker of kafkajs, for one call of it. */
import type Broker from 'kafkajs/src/broker/index.js';
import type { Protocol } from 'kafkajs/src/broker/index.js';

type BrokerOf = (typeof Broker)['prototype'];

/** The broker, with requests and responses as `change` makes them of kafkajs' own. */
export function withProtocol(broker: BrokerOf, change: (protocol: Protocol, options: unknown) => Protocol): BrokerOf {
  const lookupRequest: BrokerOf['lookupRequest'] = (key, definition) => (options) =>
    change(broker.lookupRequest(key, definition)(options), options);
  return Object.create(broker, { lookupRequest: { value: lookupRequest } }) as BrokerOf;
}
