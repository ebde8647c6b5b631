import Checkpoints
import Foundation
import Models
import Passes
import Reports

/// The files that `convert` writes about its run: the result, which an output keeps, a report and a card.
struct ConversionFiles {
  private let output: String
  private let report: String?
  private let card: Card?
  private let mayReplace: Bool
  private let access: FileAccess
  /// Whether the output is a folder, which then has the result and perhaps the card.
  private let isFolder: Bool

  /// A model card to write.
  private struct Card {
    let path: String
    /// The name in the output folder; nil when the card is elsewhere.
    let nameInOutput: String?
    /// The card to keep and extend.
    let existing: String?
  }

  /// Prepares the files of a run, and reads the card to extend.
  ///
  /// - Parameters:
  ///   - recipe: The recipe of the run.
  ///   - report: The path of the report; nil for none.
  ///   - card: The path of the model card; nil for none.
  ///   - mayReplace: Whether existing files may be replaced.
  ///   - access: How checkpoints are opened.
  /// - Throws: `PassError.usage` when a path cannot be meant; `FormatError` when an existing card cannot be
  ///   read.
  init(_ recipe: Recipe, report: String?, card: String?, mayReplace: Bool, access: FileAccess) throws {
    output = recipe.output.resolved
    self.report = report
    self.mayReplace = mayReplace
    self.access = access
    isFolder = recipe.outputFormat != .rilq && recipe.outputFormat != .gguf
    for (name, path) in [("--report", report), ("--card", card)] {
      guard let path, Self.standardized(path) == Self.standardized(output) else { continue }
      throw PassError.usage("\(name) \(path): is the output")
    }
    self.card = try card.map { [output, isFolder] path in
      guard FileSystem.fileExtension(path) == "md" else {
        throw PassError.usage("--card \(path): a card is Markdown, and its name ends in .md")
      }
      let name = isFolder ? try Self.name(of: path, in: output) : nil
      return Card(path: path, nameInOutput: name, existing: try Self.card(at: path, name, recipe, access))
    }
  }

  /// Returns the name of a card inside the output folder; nil when it is elsewhere.
  private static func name(of card: String, in output: String) throws -> String? {
    let (path, folder) = (standardized(card), standardized(output) + "/")
    guard path.hasPrefix(folder) else { return nil }
    let name = String(path.dropFirst(folder.count))
    guard FileSystem.isPlainName(name), !name.hasPrefix(".") else {
      throw PassError.usage("--card \(card): a card is directly in the output folder, as README.md is")
    }
    return name
  }

  private static func standardized(_ path: String) -> String {
    let path = URL(filePath: path).standardizedFileURL.path(percentEncoded: false)
    return path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
  }

  /// Returns the card that is to be extended: the one at the path, otherwise the input's.
  private static func card(
    at path: String, _ nameInOutput: String?, _ recipe: Recipe, _ access: FileAccess
  ) throws -> String? {
    if nameInOutput == nil, try FileSystem.kind(of: path) != nil {
      return try text(InputFile.contents(of: path), path: path)
    }
    let input = try Checkpoint.open(path: recipe.input.resolved, access: access)
    let name = nameInOutput ?? "README.md"
    guard let bytes = try input.asset(named: name) else { return nil }
    return try text(bytes.withSpan { $0.copiedBytes() }, path: FileSystem.join(input.path, name))
  }

  private static func text(_ bytes: [UInt8], path: String) throws -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw FormatError(path, .malformed("is not UTF-8"))
    }
    return text
  }

  /// Checks before the run that the files beside the output can be written.
  ///
  /// The result of an earlier output of the same name is replaced together with the output.
  func requirePlaces() throws {
    if !isFolder {
      try SideFile.requireFolder(of: output)
      try SideFile.requirePlace(at: ResultsFile.path(besideFile: output), mayReplace: true)
    }
    if let report { try SideFile.requirePlace(at: report, mayReplace: mayReplace) }
    if let card, card.nameInOutput == nil { try SideFile.requirePlace(at: card.path, mayReplace: mayReplace) }
  }

  /// Writes what belongs into an output folder; does nothing for an output that is a file.
  ///
  /// - Parameters:
  ///   - path: The complete folder, before it is published.
  ///   - document: The result of the run.
  /// - Throws: `FormatError` when a file cannot be written.
  func writeInside(_ path: String, _ document: JSONValue) throws {
    guard isFolder else { return }
    try SideFile.write(document.prettyText + "\n", to: ResultsFile.path(inFolder: path), mayReplace: true)
    guard let card, let name = card.nameInOutput else { return }
    try write(card, document, to: FileSystem.join(path, name), mayReplace: true)
  }

  /// Writes what belongs beside the published output.
  ///
  /// - Parameters:
  ///   - document: The result of the run.
  ///   - progress: Called while the output's codes are read for the report.
  /// - Throws: `FormatError` when a file cannot be written.
  func writeBeside(_ document: JSONValue, progress: ProgressHandler) throws {
    if !isFolder {
      try SideFile.write(
        document.prettyText + "\n", to: ResultsFile.path(besideFile: output), mayReplace: true)
    }
    if let card, card.nameInOutput == nil { try write(card, document, to: card.path, mayReplace: mayReplace) }
    guard let report else { return }
    let results = try ReportedResult.all(at: [output], access: access, progress: progress)
    try SideFile.write(ReportPage(results).html, to: report, mayReplace: mayReplace)
  }

  private func write(_ card: Card, _ document: JSONValue, to path: String, mayReplace: Bool) throws {
    let result = try ConversionResult(document, path: output)
    let text = try ModelCard(of: result, extending: card.existing).text()
    try SideFile.write(text, to: path, mayReplace: mayReplace)
  }
}
