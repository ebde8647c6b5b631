import Checkpoints
import Models
import TestSupport
import Testing

@Suite struct MultipleChoiceQuestionTests {
  private func question(_ line: String) throws -> MultipleChoiceQuestion {
    let lines = try JSONLines(parsing: Array(line.utf8), path: "q.jsonl").lines
    return try MultipleChoiceQuestion(lines[0], path: "q.jsonl")
  }

  private func line(choices: String = #"["red", "green", "blue"]"#, _ answer: String) -> String {
    #"{"question": "The sky is", "choices": \#(choices), \#(answer)}"#
  }

  @Test(arguments: [
    #""answer": 2"#, #""answer": "C""#, #""answer": "c""#, #""answer": "C.""#, #""answer": "C)""#,
    #""answer": "(C)""#, #""answer": "blue""#, #""answer": "2""#, #""label": "2""#, #""label": 2"#,
    #""answerKey": "C""#,
  ])
  func `an answer is an index, a letter or the text`(answer: String) throws {
    let question = try question(line(answer))
    #expect(question.answer == 2)
    #expect(question.question == "The sky is" && question.choices == ["red", "green", "blue"])
    #expect(question.task == nil)
  }

  @Test(arguments: [#""answerKey": "3""#, #""answer": 2"#, #""answer": "blue""#])
  func `labels of the line decide what an answer means`(answer: String) throws {
    let choices = #"{"text": ["red", "green", "blue"], "label": ["1", "2", "3"]}"#
    #expect(try question(line(choices: choices, answer)).answer == 2)
  }

  @Test(arguments: [
    (#"["red", "green"]"#, #""answer": 2"#, ["'answer' is 2", "2 choices"]),
    (#"["red", "green"]"#, #""answer": -1"#, ["'answer' is -1"]),
    (#"["red", "green"]"#, #""answer": 0.5"#, ["'answer' is 0.5"]),
    (#"["red", "green"]"#, #""answer": null"#, ["'answer' is null"]),
    (#"["red", "green"]"#, #""answer": "C""#, [#"'answer' is "C""#]),
    (#"["red", "green"]"#, #""answer": "()""#, [#"'answer' is "()""#]),
    (#"["red", "green"]"#, #""answer": "99999999999999999999""#, ["'answer'"]),
    (#"["red", "green"]"#, #""id": 1"#, ["has no 'answer'"]),
    (#"["red", "green"]"#, #""answer": 0, "label": 0"#, ["'answer'", "'label'"]),
    (#"["B", "A"]"#, #""answer": "A""#, [#"'answer' is "A""#, "choice 0 or 1"]),
    (#"["red", "red"]"#, #""answer": "red""#, [#"'answer' is "red""#, "choice 0 or 1"]),
    (#"["red"]"#, #""answer": 0"#, ["'choices' has 1"]),
    (#"["red", ""]"#, #""answer": 0"#, ["choice 1 is empty"]),
    (#"["red", 5]"#, #""answer": 0"#, ["'choices' is not a list of texts"]),
    (#""red""#, #""answer": 0"#, ["'choices' is not a list of texts"]),
    (#"{"text": ["a", "b"]}"#, #""answer": 0"#, ["'choices.label'"]),
    (#"{"text": ["a", "b"], "label": ["A"]}"#, #""answer": 0"#, ["2 texts and 1 labels"]),
    (#"["red", "green"]"#, #""answer": 0, "task": 5"#, ["'task'"]),
  ])
  func `refuses a line that leaves a doubt`(choices: String, answer: String, words: [String]) throws {
    let text = message { _ = try question(line(choices: choices, answer)) }
    #expect(text.hasPrefix("q.jsonl: line 1: "), "\(text)")
    for word in words { #expect(text.contains(word), "\(text)") }
  }

  @Test func `refuses a line without a question or choices`() throws {
    #expect(message { _ = try question(#"{"choices": ["a", "b"], "answer": 0}"#) }.contains("'question'"))
    #expect(message { _ = try question(#"{"question": "a", "answer": 0}"#) }.contains("'choices'"))
  }
}

@Suite struct MultipleChoiceTaskTests {
  private func line(_ question: String, task: String? = nil) -> String {
    #"{"question": "\#(question)", "choices": ["a", "b"], "answer": 0"#
      + (task.map { #", "task": "\#($0)""# } ?? "") + "}\n"
  }

  @Test func `questions are grouped by their task, otherwise by their file`() throws {
    let folder = try TemporaryFolder()
    try folder.write("one.jsonl", line("1", task: "x") + line("2") + line("3", task: "y") + line("4"))
    try folder.write("two.jsonl", line("5", task: "x") + line("6"))
    let paths = ["one.jsonl", "two.jsonl"].map(folder.path)
    let tasks = try MultipleChoiceTask.tasks(contentsOf: paths)
    #expect(tasks.map(\.name) == ["x", "one", "y", "two"])
    #expect(tasks.map { $0.questions.map(\.question) } == [["1", "5"], ["2", "4"], ["3"], ["6"]])
    let first = try MultipleChoiceTask.tasks(contentsOf: paths, maxQuestions: 1)
    #expect(first.map { $0.questions.map(\.question) } == [["1"], ["2"], ["3"], ["6"]])
  }

  @Test func `two files of the same name need a task in their lines`() throws {
    let folder = try TemporaryFolder()
    try folder.write("a/test.jsonl", line("1"))
    try folder.write("b/test.jsonl", line("2"))
    let text = message {
      _ = try MultipleChoiceTask.tasks(contentsOf: ["a", "b"].map { folder.path($0 + "/test.jsonl") })
    }
    #expect(text.hasPrefix(folder.path("b/test.jsonl") + ": line 1: ") && text.contains("'task'"), "\(text)")
  }

  @Test func `a malformed line is refused even beyond the questions that are kept`() throws {
    let folder = try TemporaryFolder()
    try folder.write("q.jsonl", line("1") + line("2") + "{}\n")
    let text = message {
      _ = try MultipleChoiceTask.tasks(contentsOf: [folder.path("q.jsonl")], maxQuestions: 1)
    }
    #expect(text.contains("q.jsonl: line 3: "), "\(text)")
  }
}
