package import Checkpoints
import Foundation
import Models

/// The losses of one calibration, update by update, as read from a file of `--log`.
package struct CalibrationCurve: Sendable, Equatable {
  /// The losses after an update, by key.
  package struct Point: Sendable, Equatable {
    /// The number of updates done; 0 before the first one.
    package let update: Int
    /// The losses that are present: `loss`, `model_loss`, `gt_loss` and `kl_loss`.
    package let losses: [String: Double]
  }

  /// The keys of losses; the weighted sum is first.
  package static let keys = ["loss", "model_loss", "gt_loss", "kl_loss"]

  /// The largest update number that the axis of a plot can resolve.
  private static let updateLimit = 1_000_000_000

  /// The path of the log, or of the document that has the curve.
  package let path: String
  /// The losses on the training windows of each update.
  package let training: [Point]
  /// The losses on the validation windows.
  package let validation: [Point]

  /// The number of updates done.
  package var updateCount: Int { max(training.last?.update ?? 0, validation.last?.update ?? 0) }
  /// The validation with the smallest weighted sum, whose state is kept; nil without validations.
  package var best: Point? { validation.min { $0.loss < $1.loss } }

  /// Whether any update has a loss of the key.
  package func has(_ key: String) -> Bool { (training + validation).contains { $0.losses[key] != nil } }

  /// Reads a log; the calibration can still be running.
  ///
  /// - Parameter path: The file; an incomplete last line is ignored.
  /// - Throws: `FormatError` when the file cannot be read, is not such a log, or has no update.
  package init(contentsOf path: String) throws {
    let lines = try InputFile.contents(of: path)
      .split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast()
    try self.init(path: path, at: "line", lines.lazy.map { try? JSONValue(parsing: Array($0)) })
  }

  /// Takes the losses of a report's key `curve`.
  ///
  /// - Parameters:
  ///   - updates: Objects with the keys of a log.
  ///   - path: The path of the document, for messages.
  /// - Throws: `FormatError` when they are no such objects, or none has losses.
  package init(_ updates: [JSONValue], path: String) throws {
    try self.init(path: path, at: "'curve', element", updates)
  }

  private init(path: String, at place: String, _ updates: some Sequence<JSONValue?>) throws {
    var training: [Point] = []
    var validation: [Point] = []
    var last = -1
    for (index, line) in updates.enumerated() {
      func failure(_ reason: String) -> FormatError {
        FormatError(path, at: "\(place) \(index + 1)", .malformed(reason))
      }
      guard let values = line, let update = values["update"]?.integer else {
        throw failure("is no JSON object with an 'update'")
      }
      guard update > last, update <= Self.updateLimit else {
        throw failure("'update' is \(update), expected more than \(last) and at most \(Self.updateLimit)")
      }
      last = update
      if let point = Point(update: update, values, prefix: "") { training.append(point) }
      if let point = Point(update: update, values, prefix: "validation_") { validation.append(point) }
    }
    guard !training.isEmpty || !validation.isEmpty else {
      throw FormatError(path, .missing("a line with an update's losses"))
    }
    self.path = path
    self.training = training
    self.validation = validation
  }

  /// The means over at most 40 intervals of equally many updates; windows differ more than the model changes.
  package var smoothedTraining: [Point] {
    let length = (training.count + 39) / 40
    return stride(from: 0, to: training.count, by: max(length, 1)).map { start in
      let part = training[start..<min(start + length, training.count)]
      var means: [String: Double] = [:]
      for key in Self.keys {
        let values = part.compactMap { $0.losses[key] }
        if !values.isEmpty { means[key] = values.reduce(0, +) / Double(values.count) }
      }
      return Point(update: part[part.endIndex - 1].update, losses: means)
    }
  }
}

extension CalibrationCurve.Point {
  /// The weighted sum.
  package var loss: Double { losses[CalibrationCurve.keys[0]] ?? .nan }

  /// Reads the losses whose keys have a prefix; nil without the weighted sum.
  fileprivate init?(update: Int, _ values: JSONValue, prefix: String) {
    var losses: [String: Double] = [:]
    // A plot cannot resolve larger values.
    for key in CalibrationCurve.keys {
      losses[key] = values[prefix + key]?.double.flatMap { abs($0) < 1e30 ? $0 : nil }
    }
    guard losses[CalibrationCurve.keys[0]] != nil else { return nil }
    self.init(update: update, losses: losses)
  }
}

extension CalibrationCurve {
  /// The JSON document of `plot --json`.
  package var json: JSONValue {
    func losses(_ point: Point?) -> JSONValue {
      guard let point else { return .null }
      return .object(
        [.init("update", .integer(point.update))]
          + Self.keys.compactMap { key in point.losses[key].map { .init(key, .double($0)) } })
    }
    return .object([
      .init("log", .string(path)), .init("updates", .integer(updateCount)),
      .init("training_first", losses(smoothedTraining.first)),
      .init("training_last", losses(smoothedTraining.last)),
      .init("validation_first", losses(validation.first)),
      .init("validation_last", losses(validation.last)), .init("validation_best", losses(best)),
    ])
  }

  /// The curve as one line of text.
  package var text: String {
    func change(_ points: [Point]) -> String {
      let ends = [points.first, points.last].map { ($0?.loss ?? .nan).formatted(decimals: 4) }
      return ends.joined(separator: " to ")
    }
    var parts = ["\(path.escapedForDisplay): \(updateCount) updates"]
    if !training.isEmpty { parts.append("loss \(change(smoothedTraining))") }
    if let best {
      parts.append(
        "held out \(change(validation)), best \(best.loss.formatted(decimals: 4)) at \(best.update)")
    }
    return parts.joined(separator: ", ")
  }
}

extension CalibrationCurve {
  /// Plots one or more calibrations.
  ///
  /// Lines are smoothed training losses; lines with dots are validation losses.
  ///
  /// - Parameters:
  ///   - curves: The calibrations.
  ///   - key: The loss to plot; nil for the weighted sum, with its parts if there is a single calibration.
  /// - Returns: The plot.
  package static func plot(_ curves: [CalibrationCurve], key: String? = nil) -> LinePlot {
    let loss = key ?? keys[0]
    let parts = key == nil && curves.count == 1 ? Array(keys.dropFirst()) : []
    let series = curves.flatMap { curve in
      let label = curves.count == 1 ? "" : curve.name + ": "
      return [
        LinePlot.Series(name: label + loss.title, points: curve.smoothedTraining.coordinates(of: loss)),
        LinePlot.Series(
          name: label + "held out", points: curve.validation.coordinates(of: loss), hasMarkers: true),
      ] + parts.map { LinePlot.Series(name: $0.title, points: curve.smoothedTraining.coordinates(of: $0)) }
    }
    return LinePlot(
      title: "Calibration", xLabel: "update", yLabel: parts.isEmpty ? loss.title : "loss",
      series: series.filter { !$0.points.isEmpty }, beginsAtZero: !parts.isEmpty)
  }

  private var name: String { URL(filePath: path).deletingPathExtension().lastPathComponent }
}

extension [CalibrationCurve.Point] {
  fileprivate func coordinates(of key: String) -> [(x: Double, y: Double)] {
    compactMap { point in point.losses[key].map { (x: Double(point.update), y: $0) } }
  }
}

extension String {
  /// The key in words.
  fileprivate var title: String { replacing("_", with: " ") }
}
