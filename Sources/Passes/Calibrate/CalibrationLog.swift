import Checkpoints
import Models

/// Collects the losses of every update, and writes one JSON object per update (JSON Lines).
final class CalibrationLog {
  private var file: OutputFile?
  /// The lines without the speed, which differs from run to run.
  private(set) var curve: [JSONValue]

  /// Opens a log.
  ///
  /// - Parameters:
  ///   - path: The file to write; nil for none.
  ///   - update: The last update whose lines stay in an existing file; nil keeps none.
  ///   - curve: The losses up to that update.
  /// - Throws: `FormatError` when the file cannot be opened or is not a regular file.
  init(path: String?, keepingUpTo update: Int? = nil, after curve: [JSONValue] = []) throws {
    self.curve = curve
    guard let path else { return }
    file = try OutputFile(
      continuing: path, keeping: update.map { Self.byteCount(ofLinesIn: path, upTo: $0) } ?? 0)
  }

  /// Returns the size of the log's beginning with lines up to an update; 0 when the log cannot be read.
  private static func byteCount(ofLinesIn path: String, upTo update: Int) -> Int {
    guard let bytes = try? InputFile.contents(of: path) else { return 0 }
    var end = 0
    while let newline = bytes[end...].firstIndex(of: UInt8(ascii: "\n")) {
      guard let line = try? JSONValue(parsing: Array(bytes[end..<newline])),
        let number = line["update"]?.integer, number <= update
      else { break }
      end = newline + 1
    }
    return end
  }

  /// Appends the line of one update.
  ///
  /// - Throws: `FormatError` when the line cannot be written.
  func write(
    update: Int, training: RilqLoss?, validation: RilqLoss?, _ weights: RilqLossWeights,
    tokensPerSecond: Double?
  ) throws {
    var line = JSONValue.object([JSONValue.Member("update", .integer(update))])
    if let training {
      for member in training.members(weights) { line.set(member.key, to: member.value) }
    }
    if let validation {
      for member in validation.members(weights) { line.set("validation_" + member.key, to: member.value) }
    }
    curve.append(line)
    if let tokensPerSecond { line.set("tokens_per_second", to: .double(tokensPerSecond)) }
    try file?.append(Array((line.compactText + "\n").utf8))
  }
}

extension RilqLoss {
  /// Returns the parts by key, and their weighted sum.
  func members(_ weights: RilqLossWeights) -> [JSONValue.Member] {
    var members = [
      JSONValue.Member("model_loss", .double(modelLoss)),
      JSONValue.Member("gt_loss", .double(groundTruthLoss)),
    ]
    if weights.divergence > 0 { members.append(JSONValue.Member("kl_loss", .double(divergence))) }
    members.append(JSONValue.Member("loss", .double(total(weights))))
    return members
  }

  func json(_ weights: RilqLossWeights) -> JSONValue { .object(members(weights)) }

  /// Reads the parts that `members` wrote.
  init?(_ json: JSONValue?) {
    guard let model = json?["model_loss"]?.double, let groundTruth = json?["gt_loss"]?.double else {
      return nil
    }
    self.init(modelLoss: model, groundTruthLoss: groundTruth, divergence: json?["kl_loss"]?.double ?? 0)
  }
}
