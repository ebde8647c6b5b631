import Checkpoints
import Foundation
import FoundationXML
import Passes
import Reports
import TestSupport
import Testing

/// A small real result: the fixture, quantized, calibrated, merged and verified twice.
struct SampleRun {
  /// The run with all passes, which tests share.
  static let shared = Result { try SampleRun() }

  let folder: TemporaryFolder
  /// The path of the output.
  let output: String
  /// What `convert --json` would print.
  let document: JSONValue

  /// Runs a recipe.
  ///
  /// - Parameters:
  ///   - name: The name of the output.
  ///   - edit: Changes the passes before they run.
  /// - Throws: The errors of the run.
  init(to name: String = "out.rilq", _ edit: (inout [PassOptions]) -> Void = { _ in }) throws {
    folder = try TemporaryFolder()
    output = folder.path(name)
    var passes = Self.passes
    edit(&passes)
    let recipe = Recipe(
      input: PathOption(Fixtures.path("tiny-llama")), output: PathOption(output), passes: passes)
    document = try Pipeline(recipe, Pipeline.Options(version: "0.0.0")).run().json
  }

  private static let text = PathOption(Fixtures.path("tiny-llama/evaluation.txt"))

  /// All passes.
  private static var passes: [PassOptions] {
    [
      .quantize(QuantizeOptions()),
      .calibrate(
        CalibrateOptions {
          $0.texts = [PathOption(Fixtures.path("tiny-llama/calibration.txt"))]
          $0.samples = 8
          $0.length = 32
          $0.updates = 6
          $0.batch = 2
          $0.learningRate = 2e-3
          $0.validation = 2
          $0.validateEvery = 2
        }),
      .merge(MergeOptions()), .verify(verify(.unmerged)), .verify(verify(.input)),
    ]
  }

  private static func verify(_ against: VerifyReference) -> VerifyOptions {
    var options = VerifyOptions()
    options.text = text
    options.window = 32
    options.maxTokens = 128
    options.against = against
    options.maxMeanKL = 100
    options.continuationTokens = 4
    return options
  }

  /// The result as a report reads it.
  func result() throws -> ConversionResult { try ConversionResult(document, path: "result.json") }

  /// The page of the result, with what `edit` adds.
  func page(_ edit: (inout ReportedResult) -> Void = { _ in }) throws -> String {
    var reported = ReportedResult(try result())
    edit(&reported)
    return ReportPage([reported]).html
  }
}

/// The text of each element of a name in a well-formed document, its own text only.
final class XMLOutline: NSObject, XMLParserDelegate {
  private(set) var elements: [(name: String, attributes: [String: String], text: String)] = []
  private var open: [Int] = []

  /// Parses a document.
  ///
  /// - Throws: The parser's error when it is not well-formed.
  init(_ document: String) throws {
    super.init()
    let parser = XMLParser(data: Data(document.utf8))
    parser.delegate = self
    guard parser.parse() else {
      throw parser.parserError ?? CocoaError(.coderReadCorrupt)
    }
  }

  func parser(
    _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
    attributes: [String: String]
  ) {
    open.append(elements.count)
    elements.append((name, attributes, ""))
  }

  func parser(_ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?)
  {
    open.removeLast()
  }

  func parser(_ parser: XMLParser, foundCharacters text: String) {
    if let last = open.last { elements[last].text += text }
  }

  /// The own texts of the elements of a name.
  func texts(_ name: String) -> [String] { elements.filter { $0.name == name }.map(\.text) }
}
