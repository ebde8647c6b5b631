import Checkpoints

/// Lines with aligned columns; text from files is escaped here and nowhere else.
struct TextTable {
  /// A line: the first cell with its indent, and the other cells.
  private struct Line {
    let indent: Int
    let cells: [String]
  }

  private static let widthLimit = 60
  private let isRightAligned: [Bool]
  private var lines: [Line] = []

  /// Creates a table with columns aligned left or right.
  init(rightAligned: [Bool]) { isRightAligned = rightAligned }

  /// Adds a line.
  mutating func add(_ cells: [String], indent: Int = 0) {
    lines.append(Line(indent: 2 * indent, cells: cells.map(\.escapedForDisplay)))
  }

  /// The lines, without trailing spaces.
  var text: [String] {
    let widths = isRightAligned.indices.map { column in
      lines.reduce(0) { max($0, min(Self.widthLimit, width($1, column))) }
    }
    return lines.map { line in
      var text = String(repeating: " ", count: line.indent)
      for (column, cell) in line.cells.enumerated() {
        let padding = String(repeating: " ", count: max(0, widths[column] - width(line, column)))
        text += (column > 0 ? "  " : "") + (isRightAligned[column] ? padding + cell : cell + padding)
      }
      return text.withoutTrailingSpaces
    }
  }

  private func width(_ line: Line, _ column: Int) -> Int {
    guard column < line.cells.count else { return 0 }
    return line.cells[column].utf8.count + (column == 0 ? line.indent : 0)
  }

  /// Returns the lines as a Markdown table.
  ///
  /// - Parameter head: The names of the columns.
  /// - Returns: The lines, beginning with the head.
  func markdown(head: [String]) -> [String] {
    let rule = isRightAligned.map { $0 ? "---:" : "---" }
    return [head, rule].map(Self.row)
      + lines.map { line in
        let indent = String(repeating: "&nbsp;", count: line.indent)
        let cells = line.cells + [String](repeating: "", count: head.count - line.cells.count)
        return Self.row([indent + cells[0].escapedForMarkdown] + cells.dropFirst().map(\.escapedForMarkdown))
      }
  }

  private static func row(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |" }
}

extension String {
  fileprivate var withoutTrailingSpaces: String {
    let end = utf8.lastIndex { $0 != UInt8(ascii: " ") }
    return String(self[..<(end.map(utf8.index(after:)) ?? startIndex)])
  }

  /// The text, with the characters escaped that end a cell or begin markup.
  fileprivate var escapedForMarkdown: String {
    guard contains(where: { "|\\`*<>[".contains($0) }) else { return self }
    return map { "|\\`*<>[".contains($0) ? "\\\($0)" : String($0) }.joined()
  }
}
