import Checkpoints
import Kernels
import Models

/// What merging did and what it cost.
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
  /// The tensors that others took the place of.
  var replacedTensors = 0

  /// Notes a table, and by how much of a step its storing rounded it.
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

  /// Notes a dense weight and its rounding.
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

  /// Notes a dense weight that an adapter was folded into, its change and its rounding.
  mutating func addFolded(_ sums: FoldSums, module: String) throws {
    if let index = sums.notFinite { throw PassError.notFinite(tensor: module + ".weight", index: index) }
    denseError.squared += sums.rounding
    denseError.norm += sums.after
    denseModules += 1
    addChange(sums.relativeChange, module: module)
  }

  /// Notes by how much of its norm a weight changed.
  mutating func addChange(_ relative: Double, module: String) {
    guard relative > largestChange?.relative ?? -1 else { return }
    largestChange = (relative, module)
  }

  /// Notes a weight that was quantized again.
  mutating func addRequantized(_ packed: PackedTensor) {
    requantizationError.squared += packed.squaredError
    requantizationError.norm += packed.squaredNorm
    requantizedModules += 1
  }

  var report: JSONValue {
    var report = JSONValue.object([JSONValue.Member("modules", .integer(modules))])
    if replacedTensors > 0 { report.set("replaced_tensors", to: .integer(replacedTensors)) }
    if let largestChange {
      report.set("largest_relative_change", to: .double(largestChange.relative))
      report.set("largest_change_in", to: .string(largestChange.module))
    }
    if tables > 0 {
      report.set("tables", to: .integer(tables))
      report.set("tables_stored_exactly", to: .integer(exactTables))
      report.set("largest_table_rounding_in_steps", to: .double(largestTableError))
    }
    if denseModules > 0 {
      report.set("dense_modules", to: .integer(denseModules))
      report.set("dense_relative_rounding", to: .double(Self.ratio(denseError)))
    }
    if requantizedModules > 0 {
      report.set("requantized_modules", to: .integer(requantizedModules))
      report.set("requantization_relative_error", to: .double(Self.ratio(requantizationError)))
    }
    return report
  }

  private static func ratio(_ error: (squared: Double, norm: Double)) -> Double {
    (error.squared / max(error.norm, .leastNormalMagnitude)).squareRoot()
  }
}
