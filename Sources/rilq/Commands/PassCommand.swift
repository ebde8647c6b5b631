import ArgumentParser
import Passes

/// The command of one pass: `rilq quantize INPUT OUTPUT`.
struct PassCommand<P: Pass>: SharedCommand {
  static var configuration: CommandConfiguration {
    CommandConfiguration(commandName: P.name, abstract: P.summary)
  }

  @OptionGroup(title: "Pass options")
  var flags: PassFlags<P>

  @OptionGroup
  var pass: SinglePass

  func run() throws { try pass.run(P.self, flags) }
}

/// A command of a pass with arguments other than an input and an output.
protocol SpecialPassCommand: SharedCommand {
  associatedtype CommandPass: Pass
}

/// The commands of all passes of a registry.
enum PassCommands {
  private static let special: [any SpecialPassCommand.Type] = [Merge.self, Verify.self]

  /// Returns one command per pass.
  static func of(_ registry: PassRegistry) -> [any ParsableCommand.Type] {
    registry.passes.map { pass in special.first { name(of: $0) == pass.name } ?? command(of: pass) }
  }

  private static func name<C: SpecialPassCommand>(of command: C.Type) -> String { C.CommandPass.name }

  private static func command<P: Pass>(of pass: P.Type) -> any ParsableCommand.Type { PassCommand<P>.self }
}
