/**
 * Takes a scored batch apart into the frames that its events came from.
 */
import type { PathDecision } from '../event/accepted-event.js';
import { decidingStudent } from '../score/menu.js';
import type { ScoreResult } from '../score/messages.js';
import type { Batch } from './batch.js';
import type { FrameInFlight } from './frame-in-flight.js';
import type { Lane } from './lane.js';

/** Hand decisions, faults and scores to the frames of a batch; returns those all of whose events are scored now. */
export function takeResults(lane: Lane, batch: Batch, result: ScoreResult): FrameInFlight[] {
  const { capacity } = lane.pool.geometry;
  const { views } = batch;
  for (const { frame, index, row } of batch.locate(result.faulty)) {
    frame.fault(index, views.faults[row]!);
  }
  for (const { frame, index, row } of batch.locate(result.accepted)) {
    frame.accept(index, decisionsOf(lane, batch, row));
  }
  for (const [at, totals] of lane.totals.entries()) {
    totals.addHistogram(views.histograms, at);
    totals.rejectedByStudent += result.rejectedByStudent[at]!;
  }
  const done: FrameInFlight[] = [];
  for (const { frame, firstEvent, firstRow, events } of batch.segments) {
    if (frame.scores !== undefined) copyScores(frame, batch, capacity, firstEvent, firstRow, events);
    frame.pending -= events;
    if (frame.pending === 0) done.push(frame);
  }
  return done;
}

/** The paths that accept the event of a row, which are counted. */
function decisionsOf(lane: Lane, { views }: Batch, row: number): PathDecision[] {
  const decisions: PathDecision[] = [];
  for (const [at, path] of lane.menu.paths.entries()) {
    const score = views.scores[at * lane.pool.geometry.capacity + row]!;
    if (score < path.threshold) continue;
    decisions.push({
      path: path.name,
      model: path.bundle.manifest.name,
      modelSha256: path.bundle.manifest.sha256,
      score,
      threshold: path.threshold,
      ...decidingStudent(path),
    });
    lane.totals[at]!.accept();
  }
  return decisions;
}

function copyScores(
  frame: FrameInFlight,
  batch: Batch,
  capacity: number,
  firstEvent: number,
  firstRow: number,
  events: number,
): void {
  const eventCount = frame.wire!.eventCount;
  for (const [at] of batch.menu.paths.entries()) {
    const start = at * capacity + firstRow;
    const target = at * eventCount + firstEvent;
    frame.scores!.set(batch.views.scores.subarray(start, start + events), target);
    for (let event = 0; event < events; event++) {
      if (batch.views.faults[firstRow + event] !== 0) frame.scores![target + event] = NaN;
    }
  }
}
