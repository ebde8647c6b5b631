import Checkpoints

/// The questions of one task.
package struct MultipleChoiceTask: Sendable, Equatable {
  /// The name that the lines give, otherwise the name of the file without its extension.
  package let name: String
  /// The questions in the order of the files, at least one.
  package private(set) var questions: [MultipleChoiceQuestion]

  /// Reads files and groups their questions by task.
  ///
  /// - Parameters:
  ///   - paths: JSON lines, as described in `Formats/tasks.md`.
  ///   - maxQuestions: The number of questions to keep of each task, the first ones; nil for all.
  /// - Returns: The tasks in the order of their first questions.
  /// - Throws: `FormatError`; for malformed contents, with the line. Also when two files without a `task` have
  ///   the same name.
  package static func tasks(
    contentsOf paths: [String], maxQuestions: Int? = nil
  ) throws -> [MultipleChoiceTask] {
    var tasks: [MultipleChoiceTask] = []
    var indices: [String: Int] = [:]
    var fileNames: [String: String] = [:]
    for path in paths {
      let fileName = taskName(ofFile: path)
      for line in try JSONLines(contentsOf: path).lines {
        let question = try MultipleChoiceQuestion(line, path: path)
        if question.task == nil, let other = fileNames.updateValue(path, forKey: fileName), other != path {
          throw question.malformed("has no 'task', and the file's name is that of \(other), too")
        }
        let name = question.task ?? fileName
        guard let index = indices[name] else {
          indices[name] = tasks.count
          tasks.append(MultipleChoiceTask(name: name, questions: [question]))
          continue
        }
        if let maxQuestions, tasks[index].questions.count >= maxQuestions { continue }
        tasks[index].questions.append(question)
      }
    }
    return tasks
  }

  private static func taskName(ofFile path: String) -> String {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    return JSONLines.isName(name) ? String(name.dropLast(".jsonl".count)) : name
  }
}
