import Models
import Passes

/// The losses of each calibration, update by update.
struct CurveSection {
  private static let rowLimit = 40
  let result: ConversionResult

  var section: PageSection {
    let curves = result.passes.compactMap(\.curve)
    guard !curves.isEmpty else {
      let reason =
        result.passes.contains { $0.name == "calibrate" }
        ? "The losses are not shown: the result was written without them."
        : "There are no losses: no pass calibrated."
      return .absent("curves", "Loss curves", because: reason)
    }
    return PageSection("curves", "Loss curves", curves.flatMap(nodes))
  }

  private func nodes(_ curve: CalibrationCurve) -> [HTMLNode] {
    [.figures(curve.figures), .details("The losses as a table", [table(of: curve)])]
  }

  private func table(of curve: CalibrationCurve) -> HTMLNode {
    let keys = CalibrationCurve.keys.filter(curve.has)
    // Updates grow from point to point.
    let training = Dictionary(uniqueKeysWithValues: curve.smoothedTraining.map { ($0.update, $0) })
    let validation = Dictionary(uniqueKeysWithValues: curve.validation.map { ($0.update, $0) })
    let updates = Set(training.keys).union(validation.keys).sorted()
    let step = max(1, updates.count / Self.rowLimit)
    let rows = stride(from: 0, to: updates.count, by: step).map { index -> [String] in
      let update = updates[index]
      let losses = keys.map { training[update]?.losses[$0]?.formatted(decimals: 4) ?? "" }
      return ["\(update)"] + losses + [validation[update]?.loss.formatted(decimals: 4) ?? ""]
    }
    return .table(
      "Mean training losses up to an update, and the loss of the windows held out",
      heads: ["update"] + keys.map { $0.replacing("_", with: " ") } + ["held out"], rows: rows)
  }
}

extension CalibrationCurve {
  /// The weighted sum with the windows held out, and each of its parts.
  fileprivate var figures: [HTMLNode] {
    Self.keys.filter(has).map { key in
      let name = key.replacing("_", with: " ")
      let series = [
        LinePlot.Series(name: "training", points: coordinates(of: key, in: smoothedTraining)),
        LinePlot.Series(name: "held out", points: coordinates(of: key, in: validation), hasMarkers: true),
      ].filter { !$0.points.isEmpty }
      let plot = LinePlot(
        title: "Calibration: \(name)", xLabel: "update", yLabel: Self.axis(of: key), series: series,
        beginsAtZero: false, in: .page)
      return .figure(
        "Calibration: \(name)", .markup(plot.element(description: description(of: key))),
        legend: series.map(\.name))
    }
  }

  /// Returns the label of a vertical axis with its unit, as `Formats/log.md` defines the losses.
  static func axis(of key: String) -> String {
    switch key {
    case "gt_loss": "cross entropy, nats per token"
    case "kl_loss": "KL divergence, nats per token"
    case "model_loss": "mean squared difference of hidden states"
    default: "weighted sum of the losses"
    }
  }

  private func coordinates(of key: String, in points: [Point]) -> [(x: Double, y: Double)] {
    points.compactMap { point in point.losses[key].map { (x: Double(point.update), y: $0) } }
  }

  private func description(of key: String) -> String {
    func change(_ name: String, _ points: [Point]) -> String? {
      let values = points.compactMap { $0.losses[key] }
      guard let first = values.first, let last = values.last else { return nil }
      return "\(name): from \(first.formattedShort) to \(last.formattedShort)"
    }
    let changes = [change("training", smoothedTraining), change("held out", validation)].compactMap(\.self)
    return "\(updateCount) updates. \(changes.joined(separator: "; "))."
  }
}

extension LinePlot.Series {
  /// The name with the first and the last value.
  func ends(joinedBy word: String) -> String {
    let values = [points.first, points.last].compactMap { $0?.y.formattedShort }
    return "\(name): \(values.joined(separator: word))"
  }
}

/// The losses of several results in one plot.
struct ComparedCurves {
  static let id = "compared-curves"
  static let title = "Loss curves compared"
  let results: [NamedResult]

  var section: PageSection {
    let all = results.flatMap { result in
      result.result.conversion.passes.compactMap(\.curve).map { (name: result.name, curve: $0) }
    }
    guard !all.isEmpty else {
      return .absent(Self.id, Self.title, because: "None of the results has the losses of a calibration.")
    }
    let figures = [figure(all, .training), figure(all, .validation)].compactMap(\.self)
    return PageSection(Self.id, Self.title, [.figures(figures)])
  }

  private enum Windows: String {
    case training
    case validation = "held out"
  }

  private func figure(_ curves: [(name: String, curve: CalibrationCurve)], _ windows: Windows) -> HTMLNode? {
    let series = curves.map { entry in
      let points = windows == .training ? entry.curve.smoothedTraining : entry.curve.validation
      return LinePlot.Series(
        name: entry.name, points: points.map { (x: Double($0.update), y: $0.loss) },
        hasMarkers: windows == .validation)
    }.filter { !$0.points.isEmpty }
    guard !series.isEmpty else { return nil }
    let title = "Loss of the \(windows == .training ? "training windows" : "windows held out")"
    let plot = LinePlot(
      title: title, xLabel: "update", yLabel: CalibrationCurve.axis(of: "loss"), series: series,
      beginsAtZero: false, in: .page)
    let description = series.map { series in
      series.ends(joinedBy: " to ")
    }.joined(separator: "; ")
    return .figure(title, .markup(plot.element(description: description)), legend: series.map(\.name))
  }
}
