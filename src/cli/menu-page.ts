/**
 * The page /menu of a running stream: GET shows the menu and a change on its way, POST asks for another one, DELETE gives
 * a change up.
 */
import { messageOf, TriggerError } from '../errors.js';
import type { JsonAnswer, JsonPage } from '../telemetry/http.js';
import type { MenuReloads } from './menu-reloads.js';
import { menuRequestOf } from './menu-request.js';

/** @param writable - whether the menu may be changed here */
export function menuPage(reloads: MenuReloads, writable: boolean): JsonPage {
  if (!writable) return { read: () => reloads.status };
  return {
    read: () => reloads.status,
    post: (document): JsonAnswer => {
      try {
        const change = reloads.request(menuRequestOf(document, reloads.pool.menu));
        return { status: 202, body: { change } };
      } catch (error) {
        if (!(error instanceof TriggerError)) throw error;
        return { status: error.code === 'MENU_BUSY' ? 409 : 400, body: { error: messageOf(error) } };
      }
    },
    delete: (): JsonAnswer =>
      reloads.cancel()
        ? { status: 200, body: reloads.status }
        : { status: 409, body: { error: 'no change is on its way, or it has gone too far to be given up' } },
  };
}
