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

  @Test(arguments: PassRegistry.standard.names)
  func `has the table of every pass as its options are declared`(name: String) throws {
    let expected = try #require(PassRegistry.standard[name]).optionTable
    let heading = try #require(document.firstRange(of: "### `\(name)`\n"))
    let section = document[heading.upperBound...].split(separator: "\n").prefix { !$0.hasPrefix("### ") }
    let table = section.prefix { !$0.hasPrefix("## ") }.filter { $0.hasPrefix("|") }.joined(separator: "\n")
    #expect(table == expected, "the table should be:\n\(expected)\n")
  }

  @Test func `has an example that reads`() throws {
    let block = try #require(document.firstMatch(of: /```yaml\n((?:.|\n)*?)```/))
    #expect(try parse(String(block.1)).passes.map(\.name) == PassRegistry.standard.names)
  }

  @Test(arguments: ["best", "balanced", "fast"])
  func `recipes store 2.5 bits per weight`(name: String) throws {
    let recipe = try Recipe(contentsOf: Fixtures.root + "/Recipes/\(name).yaml")
    let quantize = try #require(
      recipe.passes.lazy.compactMap { $0.options(of: QuantizePass.self) }.first)
    let merge = try #require(
      recipe.passes.lazy.compactMap { $0.options(of: MergePass.self) }.first)
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
