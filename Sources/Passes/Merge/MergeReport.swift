/// The report of the merge pass, with its losses.
public struct MergeReport: PassReport {
  /// The largest change of a weight.
  public struct Change: Sendable {
    /// The norm of the change, relative to the weight.
    public let relative: Double
    /// The module.
    public let module: String
  }

  /// The loss of storing tables.
  public struct Tables: Sendable {
    /// The number of tables written.
    public let count: Int
    /// The number of tables that their type holds exactly.
    public let exactCount: Int
    /// The largest rounding error, in units of the step between two codes.
    public let largestRoundingInSteps: Double
  }

  /// The loss of storing whole weights.
  public struct Weights: Sendable {
    /// The number of modules.
    public let count: Int
    /// The norm of the error, relative to the weights.
    public let error: Double
  }

  /// The number of modules that were merged.
  public let modules: Int
  /// The number of tensors replaced by the adapter's.
  public let replacedTensors: Int
  /// The largest change, if changes were measured.
  public let largestChange: Change?
  /// The tables of packed weights, if there are any.
  public let tables: Tables?
  /// The dense weights that were rounded to their dtype, if there are any.
  public let dense: Weights?
  /// The packed weights that were requantized, if there are any.
  public let requantized: Weights?

  /// The values of the report, in order.
  public var items: [ReportItem] {
    var items = [ReportItem("modules", .integer(modules))]
    if replacedTensors > 0 { items.append(ReportItem("replaced_tensors", .integer(replacedTensors))) }
    if let largestChange {
      items.append(ReportItem("largest_relative_change", .number(largestChange.relative)))
      items.append(ReportItem("largest_change_in", .text(largestChange.module)))
    }
    if let tables {
      items.append(ReportItem("tables", .integer(tables.count)))
      items.append(ReportItem("tables_stored_exactly", .integer(tables.exactCount)))
      items.append(ReportItem("largest_table_rounding_in_steps", .number(tables.largestRoundingInSteps)))
    }
    if let dense {
      items.append(ReportItem("dense_modules", .integer(dense.count)))
      items.append(ReportItem("dense_relative_rounding", .number(dense.error)))
    }
    if let requantized {
      items.append(ReportItem("requantized_modules", .integer(requantized.count)))
      items.append(ReportItem("requantization_relative_error", .number(requantized.error)))
    }
    return items
  }
}
