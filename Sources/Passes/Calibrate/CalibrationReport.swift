public import Checkpoints
public import Kernels
public import Models

/// The report of a calibration.
public struct CalibrationReport: PassReport {
  /// The number of trained values.
  public let parameters: Int
  /// The number of updates.
  public let updates: Int
  /// The update whose state is kept.
  public let bestUpdate: Int
  /// The peak learning rate.
  public let learningRate: Double
  /// The validation loss before the first update; nil without validation.
  public let validationBefore: RilqLoss?
  /// The validation loss of the kept state; nil without validation.
  public let validationAfter: RilqLoss?
  /// The number of examples in the texts that were longer than a window.
  public let examplesCut: Int
  /// The update from which a stopped run was resumed; nil if the run was not resumed.
  public let resumedAtUpdate: Int?
  /// The actual precision of operands; nil if rounding was not requested.
  public let products: ProductOperands?
  /// The loss of the last update.
  public let lastTraining: RilqLoss
  /// The median time per training window.
  public let secondsPerWindow: Double
  /// The tokens of a window divided by `secondsPerWindow`.
  public let tokensPerSecond: Double
  /// The losses of every update and validation, with the keys of `Formats/log.md`.
  public let curve: [JSONValue]
  /// The weights of the losses.
  let weights: RilqLossWeights

  /// The values of the report, in order.
  public var items: [ReportItem] {
    var items = [
      ReportItem("parameters", .integer(parameters)), ReportItem("updates", .integer(updates)),
      ReportItem("best_update", .integer(bestUpdate)), ReportItem("learning_rate", .number(learningRate)),
    ]
    if let validationBefore, let validationAfter {
      items.append(ReportItem("validation_before", validationBefore.group(weights)))
      items.append(ReportItem("validation_after", validationAfter.group(weights)))
    }
    if examplesCut > 0 { items.append(ReportItem("examples_cut", .integer(examplesCut))) }
    if let resumedAtUpdate { items.append(ReportItem("resumed_at_update", .integer(resumedAtUpdate))) }
    if let products { items.append(ReportItem("products", .text(products.rawValue))) }
    items.append(ReportItem("training_last", lastTraining.group(weights)))
    items.append(ReportItem("seconds_per_window_median", .number(secondsPerWindow)))
    items.append(ReportItem("tokens_per_second", .number(tokensPerSecond)))
    items.append(ReportItem("curve", .document(.array(curve))))
    return items
  }
}

extension RilqLoss {
  /// The parts as a value of the report.
  fileprivate func group(_ weights: RilqLossWeights) -> ReportItem.Value {
    .group(members(weights).map { ReportItem($0.key, .number($0.value.double ?? .nan)) })
  }
}
