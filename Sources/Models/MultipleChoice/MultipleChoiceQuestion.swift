package import Checkpoints

/// A question, its possible answers, and which of them is right.
package struct MultipleChoiceQuestion: Sendable, Equatable {
  /// The text before each choice.
  package let question: String
  /// The possible answers, at least two, none of them empty.
  package let choices: [String]
  /// The index of the right choice.
  package let answer: Int
  /// The task to which the question belongs; nil if the line names none.
  package let task: String?
  /// The file, for errors.
  let path: String
  /// The line, from 1.
  let line: Int

  /// Reads a line, as described in `Formats/tasks.md`.
  ///
  /// - Throws: `FormatError` with the line.
  package init(_ line: JSONLines.Line, path: String) throws(FormatError) {
    question = try line.text("question")
    let given = try GivenChoices(line)
    choices = given.texts
    answer = try given.answer(in: line)
    task = line.object["task"] == nil ? nil : try line.text("task")
    self.path = path
    self.line = line.number
  }

  /// An error in the question's line.
  func malformed(_ reason: String) -> FormatError {
    FormatError(path, at: "line \(line)", .malformed(reason))
  }
}

/// The choices of a line, with the labels that its answer may use.
private struct GivenChoices {
  let texts: [String]
  /// One per choice; empty if the line has no labels.
  private let labels: [String]

  /// Reads a list of texts, or an object with `text` and `label`.
  init(_ line: JSONLines.Line) throws(FormatError) {
    guard let choices = line.object["choices"] else { throw line.malformed("has no 'choices'") }
    if choices.object == nil {
      texts = try Self.texts(choices, "choices", line)
      labels = []
    } else {
      texts = try Self.texts(choices["text"], "choices.text", line)
      labels = try Self.texts(choices["label"], "choices.label", line)
      guard labels.count == texts.count else {
        throw line.malformed("'choices' has \(texts.count) texts and \(labels.count) labels")
      }
    }
    guard texts.count >= 2 else { throw line.malformed("'choices' has \(texts.count) of at least 2 texts") }
    if let index = texts.firstIndex(of: "") { throw line.malformed("choice \(index) is empty") }
  }

  private static func texts(
    _ value: JSONValue?, _ key: String, _ line: JSONLines.Line
  ) throws(FormatError) -> [String] {
    let elements = value?.array
    guard let elements, case let texts = elements.compactMap(\.string), texts.count == elements.count else {
      throw line.malformed("'\(key)' is not a list of texts")
    }
    return texts
  }

  /// Returns the index of the right choice.
  func answer(in line: JSONLines.Line) throws(FormatError) -> Int {
    let given = ["answer", "answerKey", "label"].filter { line.object[$0] != nil }
    guard let key = given.first, let value = line.object[key] else { throw line.malformed("has no 'answer'") }
    guard given.count == 1 else { throw line.malformed("has both '\(key)' and '\(given[1])'") }
    let meanings = meanings(of: value)
    guard let answer = meanings.first else {
      throw line.malformed(
        "'\(key)' is \(value.compactText), which is no index, letter, label or text of \(texts.count) choices"
      )
    }
    guard meanings.count == 1 else {
      throw line.malformed(
        "'\(key)' is \(value.compactText), which may be choice \(meanings[0]) or \(meanings[1])")
    }
    return answer
  }

  /// Returns the choices that an answer may mean, each once; one unless it is ambiguous.
  private func meanings(of value: JSONValue) -> [Int] {
    if let index = value.integer { return texts.indices.contains(index) ? [index] : [] }
    guard let text = value.string else { return [] }
    // Labels come from the same line and leave no doubt.
    let labelled = labels.indices.filter { labels[$0] == text }
    guard labelled.isEmpty else { return labelled }
    let same = texts.indices.filter { texts[$0] == text }
    let counted = [Self.letterIndex(text), Int(text)].compactMap(\.self).filter(texts.indices.contains)
    return Set(same + counted).sorted()
  }

  /// Returns the index that a letter means: 1 for `B`, `b`, `B.`, `B)` and `(B)`.
  private static func letterIndex(_ text: String) -> Int? {
    var letter = Substring(text)
    if letter.hasPrefix("("), letter.hasSuffix(")") {
      letter = letter.dropFirst().dropLast()
    } else if letter.hasSuffix(".") || letter.hasSuffix(")") {
      letter = letter.dropLast()
    }
    guard letter.utf8.count == 1, let byte = letter.uppercased().utf8.first else { return nil }
    let letters = UInt8(ascii: "A")...UInt8(ascii: "Z")
    return letters.contains(byte) ? Int(byte - letters.lowerBound) : nil
  }
}
