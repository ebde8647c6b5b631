/// The passes that recipes can name.
public struct PassRegistry: Sendable {
  /// The passes of this package, in their usual order in a recipe.
  public static let standard = PassRegistry([
    RotatePass.self,
    QuantizePass.self,
    AttachPass.self,
    CalibratePass.self,
    MergePass.self,
    VerifyPass.self,
  ])

  /// The passes in their order.
  public let passes: [any Pass.Type]

  private init(_ passes: [any Pass.Type]) { self.passes = passes }

  /// The names of all passes.
  public var names: [String] { passes.map { $0.name } }

  /// Returns the pass of a name, or nil when there is none.
  public subscript(name: String) -> (any Pass.Type)? { passes.first { $0.name == name } }

  /// Returns a registry with an additional pass, which replaces a pass of the same name.
  public func adding(_ pass: any Pass.Type) -> PassRegistry {
    PassRegistry(passes.filter { $0.name != pass.name } + [pass])
  }
}
