import Checkpoints
import Foundation
import Models

/// A file that gets one JSON object a line for each update.
struct CalibrationLog {
  private let handle: FileHandle?

  /// - Parameters:
  ///   - path: The file to make; nil for none.
  ///   - update: Of a file that is there, the lines up to this update stay; nil keeps none.
  /// - Throws: `FormatError` when the file cannot be made.
  init(path: String?, keepingUpTo update: Int? = nil) throws {
    guard let path else {
      handle = nil
      return
    }
    let kept = update.map { Self.lines(of: path, upTo: $0) } ?? ""
    guard FileManager.default.createFile(atPath: path, contents: Data(kept.utf8)),
      let handle = FileHandle(forWritingAtPath: path)
    else { throw FormatError(path, .system("cannot be created")) }
    _ = try handle.seekToEnd()
    self.handle = handle
  }

  private static func lines(of path: String, upTo update: Int) -> String {
    guard let bytes = try? InputFile.contents(of: path) else { return "" }
    var kept = ""
    for line in bytes.split(separator: UInt8(ascii: "\n")) {
      guard let value = try? JSONValue(parsing: Array(line)), let number = value["update"]?.integer,
        number <= update
      else { break }
      kept += value.compactText + "\n"
    }
    return kept
  }

  func write(
    update: Int, training: RilqLoss?, validation: RilqLoss?, _ weights: RilqLossWeights,
    tokensPerSecond: Double?
  ) {
    guard let handle else { return }
    var line = JSONValue.object([JSONValue.Member("update", .integer(update))])
    if let training {
      for member in training.members(weights) { line.set(member.key, to: member.value) }
    }
    if let validation {
      for member in validation.members(weights) { line.set("validation_" + member.key, to: member.value) }
    }
    if let tokensPerSecond { line.set("tokens_per_second", to: .double(tokensPerSecond)) }
    handle.write(Data((line.compactText + "\n").utf8))
  }
}

extension RilqLoss {
  /// The parts by their keys, and their weighted sum.
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

  /// The parts that `members` named.
  init?(_ json: JSONValue?) {
    guard let model = json?["model_loss"]?.double, let groundTruth = json?["gt_loss"]?.double else {
      return nil
    }
    self.init(modelLoss: model, groundTruthLoss: groundTruth, divergence: json?["kl_loss"]?.double ?? 0)
  }
}
