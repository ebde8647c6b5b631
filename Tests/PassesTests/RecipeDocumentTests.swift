import Checkpoints
import Foundation
import Passes
import TestSupport
import Testing

/// `Formats/recipe.md`, the recipes in `Recipes/` and the code say the same.
@Suite struct RecipeDocumentTests {
  private let document: String

  init() throws {
    document = try String(contentsOfFile: Fixtures.root + "/Formats/recipe.md", encoding: .utf8)
  }

  @Test(arguments: PassOptions.names)
  func `lists the keys of a pass in the order they are written`(pass: String) throws {
    let flags = ["calibrate", "verify"].contains(pass) ? [PassFlag("text", "t")] : []
    let options = try PassOptions(name: pass, flags: flags).options
    let heading = try #require(document.firstRange(of: "### `\(pass)`"))
    let rows = document[heading.upperBound...].split(separator: "\n").prefix { !$0.hasPrefix("#") }
    let keys = rows.compactMap { $0.wholeMatch(of: /\| `(\w+)` \|.*/).map { String($0.1) } }
    #expect(keys == options.object?.map(\.key))
  }

  @Test func `has an example that reads`() throws {
    let block = try #require(document.firstMatch(of: /```yaml\n((?:.|\n)*?)```/))
    #expect(try parse(String(block.1)).passes.map(\.name) == PassOptions.names)
  }

  @Test(arguments: ["best", "balanced", "fast"])
  func `recipes store 2.5 bits a weight`(name: String) throws {
    let recipe = try Recipe(contentsOf: Fixtures.root + "/Recipes/\(name).yaml")
    let quantize = try #require(
      recipe.passes.lazy.compactMap { if case .quantize(let options) = $0 { options } else { nil } }.first)
    let merge = try #require(
      recipe.passes.lazy.compactMap { if case .merge(let options) = $0 { options } else { nil } }.first)
    #expect(quantize.bits == 2 && quantize.groupSize == 64)
    #expect(quantize.tables == .f16 && merge.tables == .f16)
  }

  @Test func `every recipe reads`() throws {
    let folder = Fixtures.root + "/Recipes"
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".yaml") }
    #expect(names.count >= 6)
    for name in names { #expect(throws: Never.self) { try Recipe(contentsOf: folder + "/" + name) } }
  }
}
