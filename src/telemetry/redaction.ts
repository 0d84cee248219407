/**
 * Keeps secrets out of everything that is printed. The only secret the product knows comes from the environment, so
 * it is looked for by value, whatever path it took: a library's message, a cause, a stack.
 */

/** Shorter ones are not looked for: they would black out words and numbers that have nothing to do with them. */
const SHORTEST_SECRET = 4;

/** A text with the Kafka password blacked out, in plain, JSON-escaped or base64 form. */
export function redacted(text: string): string {
  const password = process.env.KAFKA_PASSWORD;
  if (password === undefined || password.length < SHORTEST_SECRET) return text;
  const forms = [password, JSON.stringify(password).slice(1, -1), Buffer.from(password).toString('base64')];
  return forms.reduce((clean, form) => clean.replaceAll(form, '[redacted]'), text);
}
