/**
 * The memory of slots, which is used again: menus come and go, each with slots of its own, and V8 does not count shared
 * memory when it decides whether to collect garbage, so what was dropped would pile up.
 */
import { slotBytes, type SlotGeometry } from './messages.js';

/** What pools have given back. Those of the last one alone: pools of other sizes are not to come again. */
let spare: readonly SharedArrayBuffer[] = [];

/** Slots of a geometry; what is in them is anything. */
export function takeSlots(count: number, geometry: SlotGeometry): readonly SharedArrayBuffer[] {
  const bytes = slotBytes(geometry);
  if (spare.length === count && spare[0]?.byteLength === bytes) {
    const taken = spare;
    spare = [];
    return taken;
  }
  return Array.from({ length: count }, () => new SharedArrayBuffer(bytes));
}

/** Give slots back that nobody reads or writes any more. */
export function giveBackSlots(slots: readonly SharedArrayBuffer[]): void {
  spare = slots;
}
