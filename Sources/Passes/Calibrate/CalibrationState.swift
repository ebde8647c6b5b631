import Checkpoints
import Kernels
import Models

/// Where a calibration is: what its report and its next decisions depend on, beside the trainer.
struct CalibrationState {
  /// The updates that were made.
  var update = 0
  /// The validation before the first update; nil without validation.
  let start: RilqLoss?
  /// The loss of the last update.
  var last = RilqLoss()
  /// The best validation, its update, and what was trained then.
  var best: (update: Int, loss: RilqLoss?, values: [TrainedValues])
}

/// The file that a calibration goes on from when it was stopped, private to one version of the program.
///
/// A line of JSON with the numbers, then the lists of the trainer and of the best state, then a CRC-32 of all
/// that. It appears whole under its name or not at all. The run's journal makes sure that recipe, input and
/// version are the same.
struct CalibrationStateFile {
  private let path: String

  init(path: String) { self.path = path }

  /// Replaces what was saved before.
  ///
  /// - Throws: `FormatError` when the file cannot be written; what was saved before is then still there.
  func save(_ state: CalibrationState, _ trainer: Trainer, _ weights: RilqLossWeights) throws {
    var line = JSONValue.object([
      JSONValue.Member("update", .integer(state.update)),
      JSONValue.Member("last", state.last.json(weights)),
      JSONValue.Member("best_update", .integer(state.best.update)),
    ])
    if let start = state.start { line.set("start", to: start.json(weights)) }
    if let best = state.best.loss { line.set("best", to: best.json(weights)) }
    let unfinished = path + ".unfinished"
    var file = try StateWriter(creating: unfinished, header: line.compactText)
    var (trainer, values) = (trainer, state.best.values)
    try trainer.exchange(with: &file)
    for index in values.indices { try values[index].exchange(with: &file) }
    try file.finish()
    try FileSystem.rename(unfinished, to: path)
  }

  /// What was saved, put into a trainer of the same model; nil when nothing was.
  ///
  /// - Parameters:
  ///   - trainer: A new one with the model and the options of the one that was saved.
  ///   - updates: All updates of the run.
  /// - Returns: The numbers beside it.
  /// - Throws: `FormatError` when the file is not what was written.
  func restore(into trainer: inout Trainer, updates: Int) throws -> CalibrationState? {
    guard try FileSystem.kind(of: path) != nil else { return nil }
    var file = try StateReader(path: path)
    let line = try? JSONValue(parsing: file.header)
    guard let line, let last = RilqLoss(line["last"]),
      let update = line["update"]?.integer, (1...max(updates, 1)).contains(update),
      let bestUpdate = line["best_update"]?.integer, (0...update).contains(bestUpdate)
    else { throw FormatError(path, at: "kept state", .malformed("line 1 is not that of a calibration")) }
    var values = trainer.snapshot
    try trainer.exchange(with: &file)
    for index in values.indices { try values[index].exchange(with: &file) }
    try file.finish()
    trainer.restore(updateCount: update)
    return CalibrationState(
      update: update, start: RilqLoss(line["start"]), last: last,
      best: (bestUpdate, RilqLoss(line["best"]), values))
  }
}
