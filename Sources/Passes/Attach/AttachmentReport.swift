/// The report of the attach pass.
public struct AttachmentReport: PassReport {
  /// The number of modules that got an adapter.
  public let modules: Int
  /// The number of values in all adapters.
  public let parameters: Int
  /// The relative errors without and with the adapters; empty when the adapters compensate nothing.
  public let errors: [ReportItem]

  /// The values of the report, in order.
  public var items: [ReportItem] {
    [ReportItem("modules", .integer(modules)), ReportItem("parameters", .integer(parameters))] + errors
  }
}
