public import Kernels

/// What a quantization did and what it cost.
public struct QuantizationReport: PassReport {
  /// The mean loss of the layers that were trained, before and after.
  public struct LayerLoss: Sendable {
    /// With the codes and tables that the method gave.
    public let before: Double
    /// With the trained ones.
    public let after: Double
  }

  /// The modules that were quantized.
  public let modules: Int
  /// Their weights.
  public let weights: Int
  /// The norm of the error of all weights, relative to the weights.
  public let relativeError: Double
  /// The norm of the error of the outputs, relative to the outputs, where inputs are known.
  public let relativeOutputError: Double?
  /// The largest damping that a factorization took.
  public let damping: Double?
  /// The losses of the layers, where layers were trained.
  public let layerLoss: LayerLoss?
  /// What operands were really rounded to, where that was asked for.
  public let products: ProductOperands?
  /// The modules that no window reaches.
  public let modulesWithoutStatistics: Int
  /// The modules with each width.
  public let moduleCounts: [Int: Int]
  /// Whether the rounded weights are stored dense.
  public let isDense: Bool

  /// The values, in their order.
  public var items: [ReportItem] {
    var items = [
      ReportItem("modules", .integer(modules)), ReportItem("weights", .integer(weights)),
      ReportItem("relative_error", .number(relativeError)),
    ]
    if let relativeOutputError {
      items.append(ReportItem("relative_output_error", .number(relativeOutputError)))
    }
    if let damping { items.append(ReportItem("damping", .number(damping))) }
    if let layerLoss {
      items.append(ReportItem("layer_loss_before", .number(layerLoss.before)))
      items.append(ReportItem("layer_loss_after", .number(layerLoss.after)))
    }
    if let products { items.append(ReportItem("products", .text(products.rawValue))) }
    if modulesWithoutStatistics > 0 {
      items.append(ReportItem("modules_without_statistics", .integer(modulesWithoutStatistics)))
    }
    if moduleCounts.count > 1 {
      items += moduleCounts.sorted { $0.key < $1.key }.map { bits, count in
        ReportItem("modules_of_\(bits)_bits", .integer(count))
      }
    }
    if isDense { items.append(ReportItem("stored", .text("dense"))) }
    return items
  }
}

/// What is reported of a quantization, as it grows.
struct QuantizationSummary {
  private(set) var modules = 0
  private var weights = 0
  private var squaredError = 0.0
  private var squaredNorm = 0.0
  /// How far the outputs of linears are from the originals', where inputs are known.
  var outputError: Double?
  /// The largest damping that a factorization took.
  var damping: Double?
  /// The losses of the layers that were trained.
  var layerLosses: [LayerTraining.Losses] = []
  /// What operands were really rounded to, where that was asked for.
  var products: ProductOperands?
  /// Modules that the text does not reach.
  private var modulesWithoutStatistics = 0
  /// The modules with each width.
  var moduleCounts: [Int: Int] = [:]
  /// Whether the weights stay dense.
  var isDense = false

  /// Adds a module's weights and their error.
  mutating func add(_ packed: PackedTensor, isOutOfReach: Bool = false) {
    add(
      weights: packed.weightCount, squaredError: packed.squaredError, squaredNorm: packed.squaredNorm)
    modulesWithoutStatistics += isOutOfReach ? 1 : 0
  }

  /// Adds a module's weights and their error.
  mutating func add(weights: Int, squaredError: Double, squaredNorm: Double) {
    modules += 1
    self.weights += weights
    self.squaredError += squaredError
    self.squaredNorm += squaredNorm
  }

  var report: QuantizationReport {
    QuantizationReport(
      modules: modules, weights: weights,
      relativeError: (squaredError / max(squaredNorm, .leastNormalMagnitude)).squareRoot(),
      relativeOutputError: outputError, damping: damping, layerLoss: layerLoss, products: products,
      modulesWithoutStatistics: modulesWithoutStatistics, moduleCounts: moduleCounts, isDense: isDense)
  }

  private var layerLoss: QuantizationReport.LayerLoss? {
    guard !layerLosses.isEmpty else { return nil }
    let count = Double(layerLosses.count)
    return QuantizationReport.LayerLoss(
      before: layerLosses.reduce(0) { $0 + $1.before } / count,
      after: layerLosses.reduce(0) { $0 + $1.after } / count)
  }
}
