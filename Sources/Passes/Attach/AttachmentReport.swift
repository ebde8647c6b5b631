/// What attaching adapters did.
public struct AttachmentReport: PassReport {
  /// The modules that got one.
  public let modules: Int
  /// The values of all adapters.
  public let parameters: Int
  /// The relative errors without and with the adapters, where adapters compensate something.
  public let errors: [ReportItem]

  /// The values, in their order.
  public var items: [ReportItem] {
    [ReportItem("modules", .integer(modules)), ReportItem("parameters", .integer(parameters))] + errors
  }
}
