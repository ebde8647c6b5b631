import Checkpoints
import Kernels
import Models

/// Collects the values of the merge pass's report.
struct MergeSummary {
  var modules = 0
  private var largestTableError = 0.0
  private var exactTables = 0
  private var tables = 0
  private var denseError = (squared: 0.0, norm: 0.0)
  private var requantizationError = (squared: 0.0, norm: 0.0)
  private var denseModules = 0
  private var requantizedModules = 0
  private var largestChange: (relative: Double, module: String)?
  /// The number of tensors replaced by the adapter's.
  var replacedTensors = 0

  /// Records a table and its rounding error in steps.
  mutating func addTable(
    _ values: [Float], stored bytes: [UInt8], _ format: FloatFormat, steps: [Float], name: String
  ) throws {
    let stored = widened(bytes, from: format)
    var largest = 0.0
    for i in values.indices {
      guard stored[i].isFinite else { throw PassError.notFinite(tensor: name, index: i) }
      let error = abs(Double(stored[i]) - Double(values[i]))
      if error > 0 { largest = max(largest, error / max(abs(Double(steps[i])), 1e-30)) }
    }
    tables += 1
    if largest == 0 { exactTables += 1 }
    largestTableError = max(largestTableError, largest)
  }

  /// Records a dense weight and its rounding error.
  mutating func addDense(_ values: [Float], stored bytes: [UInt8], _ format: FloatFormat, name: String) throws
  {
    let stored = widened(bytes, from: format)
    for i in values.indices {
      guard stored[i].isFinite else { throw PassError.notFinite(tensor: name, index: i) }
      let error = Double(stored[i]) - Double(values[i])
      denseError.squared += error * error
      denseError.norm += Double(values[i]) * Double(values[i])
    }
    denseModules += 1
  }

  /// Records a dense weight with a folded adapter, its change and its rounding error.
  mutating func addFolded(_ sums: FoldSums, module: String) throws {
    if let index = sums.notFinite { throw PassError.notFinite(tensor: module + ".weight", index: index) }
    denseError.squared += sums.rounding
    denseError.norm += sums.after
    denseModules += 1
    addChange(sums.relativeChange, module: module)
  }

  /// Records the relative change of a weight.
  mutating func addChange(_ relative: Double, module: String) {
    guard relative > largestChange?.relative ?? -1 else { return }
    largestChange = (relative, module)
  }

  /// Records a weight that was requantized.
  mutating func addRequantized(_ packed: PackedTensor) {
    requantizationError.squared += packed.squaredError
    requantizationError.norm += packed.squaredNorm
    requantizedModules += 1
  }

  var report: MergeReport {
    MergeReport(
      modules: modules, replacedTensors: replacedTensors,
      largestChange: largestChange.map { .init(relative: $0.relative, module: $0.module) },
      tables: tables == 0
        ? nil : .init(count: tables, exactCount: exactTables, largestRoundingInSteps: largestTableError),
      dense: denseModules == 0 ? nil : .init(count: denseModules, error: Self.ratio(denseError)),
      requantized: requantizedModules == 0
        ? nil : .init(count: requantizedModules, error: Self.ratio(requantizationError)))
  }

  private static func ratio(_ error: (squared: Double, norm: Double)) -> Double {
    (error.squared / max(error.norm, .leastNormalMagnitude)).squareRoot()
  }
}
