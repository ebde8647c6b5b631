import Checkpoints
import Foundation
import Passes
import Testing

/// `Formats/recipe.md` and the code say the same.
@Suite struct RecipeDocumentTests {
  private let document: String

  init() throws {
    let root = URL(filePath: #filePath).appending(path: "../../..").standardizedFileURL
    document = try String(contentsOf: root.appending(path: "Formats/recipe.md"), encoding: .utf8)
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
}
