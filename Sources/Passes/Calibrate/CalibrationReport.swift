import Checkpoints
public import Kernels
public import Models

/// What a calibration did.
public struct CalibrationReport: PassReport {
  /// The values that were trained.
  public let parameters: Int
  /// The updates that were made.
  public let updates: Int
  /// The update whose state was kept.
  public let bestUpdate: Int
  /// The peak learning rate.
  public let learningRate: Double
  /// The validation loss before the first update; nil without validation.
  public let validationBefore: RilqLoss?
  /// The validation loss of the state that was kept; nil without validation.
  public let validationAfter: RilqLoss?
  /// The examples of the texts that were longer than a window.
  public let examplesCut: Int
  /// The update that the run went on from, when it was stopped before.
  public let resumedAtUpdate: Int?
  /// What operands were really rounded to, where that was asked for.
  public let products: ProductOperands?
  /// The loss of the last update.
  public let lastTraining: RilqLoss
  /// The median time of a training window.
  public let secondsPerWindow: Double
  /// The tokens of a window over that time.
  public let tokensPerSecond: Double
  /// The weights of the losses.
  let weights: RilqLossWeights

  /// The values, in their order.
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
    return items
  }
}

extension RilqLoss {
  /// The parts as a value of a report.
  fileprivate func group(_ weights: RilqLossWeights) -> ReportItem.Value {
    .group(members(weights).map { ReportItem($0.key, .number($0.value.double ?? .nan)) })
  }
}
