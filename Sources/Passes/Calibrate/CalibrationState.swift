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
/// A line of JSON with the numbers and the length of every list of floats, then the floats, little-endian. It appears whole
/// under its name or not at all. The run's journal makes sure that recipe, input and version are the same.
struct CalibrationStateFile {
  private let path: String

  init(path: String) { self.path = path }

  /// Replaces what was saved before.
  ///
  /// - Throws: `FormatError` when the file cannot be written; what was saved before is then still there.
  func save(_ state: CalibrationState, _ trainer: Trainer, _ weights: RilqLossWeights) throws {
    let lists = trainer.state + state.best.values.flatMap(\.lists)
    var line = JSONValue.object([
      JSONValue.Member("update", .integer(state.update)),
      JSONValue.Member("last", state.last.json(weights)),
      JSONValue.Member("best_update", .integer(state.best.update)),
      JSONValue.Member("counts", .array(lists.map { .integer($0.count) })),
    ])
    if let start = state.start { line.set("start", to: start.json(weights)) }
    if let best = state.best.loss { line.set("best", to: best.json(weights)) }
    let unfinished = path + ".unfinished"
    var file = try OutputFile(creating: unfinished)
    try file.append(Array((line.compactText + "\n").utf8))
    for list in lists { try file.append(narrowed(list, to: .f32)) }
    try file.sync()
    try FileSystem.rename(unfinished, to: path)
  }

  /// What was saved, put into a trainer of the same model; nil when there is nothing whole.
  func restore(into trainer: inout Trainer) -> CalibrationState? {
    guard let file = try? MappedFile(path: path),
      let end = (0..<file.byteCount).first(where: { file.byte(at: $0) == UInt8(ascii: "\n") }),
      let line = try? JSONValue(parsing: file.withBytes(in: 0..<end) { $0.copiedBytes() }),
      let update = line["update"]?.integer, let bestUpdate = line["best_update"]?.integer,
      let last = RilqLoss(line["last"]),
      let counts = line["counts"]?.array?.compactMap(\.integer)
    else { return nil }
    var values = trainer.snapshot
    let shapes = (trainer.state + values.flatMap(\.lists)).map(\.count)
    guard counts == shapes, file.byteCount - end - 1 == 4 * shapes.reduce(0, +) else { return nil }
    var start = end + 1
    let lists = shapes.map { count in
      let range = start..<start + 4 * count
      start = range.upperBound
      defer { file.discard(range) }
      return file.withBytes(in: range) { widened($0, from: .f32) }
    }
    let trainerCount = shapes.count - values.reduce(0) { $0 + $1.lists.count }
    trainer.restore(state: Array(lists[..<trainerCount]), updateCount: update)
    var rest = lists[trainerCount...]
    for index in values.indices {
      let count = values[index].lists.count
      values[index].lists = Array(rest.prefix(count))
      rest = rest.dropFirst(count)
    }
    return CalibrationState(
      update: update, start: RilqLoss(line["start"]), last: last,
      best: (bestUpdate, RilqLoss(line["best"]), values))
  }
}

extension MappedFile {
  fileprivate func byte(at offset: Int) -> UInt8 { withBytes(in: offset..<offset + 1) { $0.byte(at: 0) } }
}
