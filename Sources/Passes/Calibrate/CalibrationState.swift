import Checkpoints
import Kernels
import Models

/// The state of a calibration in addition to its trainer: the values for its report and its next decisions.
struct CalibrationState {
  /// The number of updates done.
  var update = 0
  /// The validation loss before the first update; nil without validation.
  let start: RilqLoss?
  /// The loss of the last update.
  var last = RilqLoss()
  /// The best validation: its update, its loss and the trained values.
  var best: (update: Int, loss: RilqLoss?, values: [TrainedValues])
  /// The losses of all updates so far, as the log has them.
  var curve: [JSONValue] = []
}

/// The file from which a stopped calibration resumes; private to one version of the program.
///
/// The file has a line of JSON with the numbers, then the lists of the trainer and of the best state, then a
/// CRC-32 of all that. It appears under its name only when complete. The run's journal ensures that recipe,
/// input and version are the same.
struct CalibrationStateFile {
  private let path: String

  init(path: String) { self.path = path }

  /// Replaces the saved state.
  ///
  /// - Throws: `FormatError` when the file cannot be written; the earlier saved state then remains.
  func save(_ state: CalibrationState, _ trainer: Trainer, _ weights: RilqLossWeights) throws {
    var line = JSONValue.object([
      JSONValue.Member("update", .integer(state.update)),
      JSONValue.Member("last", state.last.json(weights)),
      JSONValue.Member("best_update", .integer(state.best.update)),
    ])
    if let start = state.start { line.set("start", to: start.json(weights)) }
    if let best = state.best.loss { line.set("best", to: best.json(weights)) }
    line.set("curve", to: .array(state.curve))
    let unfinished = path + ".unfinished"
    var file = try StateWriter(creating: unfinished, header: line.compactText)
    var (trainer, values) = (trainer, state.best.values)
    try trainer.exchange(with: &file)
    for index in values.indices { try values[index].exchange(with: &file) }
    try file.finish()
    try FileSystem.rename(unfinished, to: path)
  }

  /// Restores the saved state into a trainer of the same model; nil when there is none.
  ///
  /// - Parameters:
  ///   - trainer: A new trainer with the same model and options as the saved one.
  ///   - updates: The total number of updates in the run.
  /// - Returns: The state in addition to the trainer.
  /// - Throws: `FormatError` when the file is damaged.
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
      best: (bestUpdate, RilqLoss(line["best"]), values), curve: line["curve"]?.array ?? [])
  }
}
