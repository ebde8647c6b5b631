import Checkpoints
import Kernels
import TestSupport
import Testing

/// `rilq eval --tasks`.
@Suite struct EvalTaskTests {
  private static let model = Fixtures.path("tiny-llama")
  private static let tasks = Fixtures.path("tasks/general.jsonl")
  private static let line = #"{"question": "The sky is", "choices": ["blue", "green"], "answer": 0}"# + "\n"

  private func document(_ arguments: String..., in folder: TemporaryFolder) throws -> JSONValue {
    let result = try Program(["eval"] + arguments + ["--json", "--quiet"], in: folder).wait()
    #expect(result.code == 0, "\(result.error)")
    return try JSONValue(parsing: Array(result.output.utf8))
  }

  @Test func `tasks have their keys and the accuracies of transformers`() throws {
    let folder = try TemporaryFolder()
    let evaluation = try document(Self.model, "--tasks", Self.tasks, in: folder)
    let keys = [
      "tasks", "mean_accuracy", "mean_accuracy_normalized", "questions_per_second",
      "choice_tokens_per_second", "peak_memory_bytes",
    ]
    #expect(evaluation.keys == keys)
    let golden = try JSONValue(contentsOf: Fixtures.path("golden/tasks.json"))
    let tasks = try #require(evaluation["tasks"]?.array)
    let expected = try #require(golden["tasks"]?.array)
    #expect(tasks.map { $0["name"] } == expected.map { $0["name"] })
    for (task, other) in zip(tasks, expected) {
      for key in ["accuracy", "standard_error", "accuracy_normalized", "standard_error_normalized"] {
        #expect(abs((task[key]?.double ?? .nan) - (other[key]?.double ?? 0)) < 1e-12, "\(key)")
      }
      #expect(task["questions_cut"]?.integer == 0)
    }
    let mean = expected.reduce(0) { $0 + ($1["accuracy"]?.double ?? 0) } / Double(expected.count)
    #expect(abs((evaluation["mean_accuracy"]?.double ?? .nan) - mean) < 1e-12)
  }

  @Test func `rounded products give nearly the same perplexity, and are named`() throws {
    let folder = try TemporaryFolder()
    let text = ["--text", evaluationText, "--window", "64", "--max-tokens", "1024", "--json"]
    let perplexities = try ["f32", "bf16"].map { products in
      let result = try Program(["eval", Self.model, "--products", products] + text, in: folder).wait()
      let evaluation = try JSONValue(parsing: Array(result.output.utf8))
      let name = ProductOperands(rawValue: products)?.onThisProcessor.rawValue
      #expect(evaluation["products"]?.string == (products == "f32" ? nil : name))
      return try #require(evaluation["perplexity"]?.double)
    }
    #expect(abs(perplexities[1] / perplexities[0] - 1) < 2e-3)
    let wrong = try Program(["eval", Self.model, "--products", "f64"] + text, in: folder).wait()
    #expect(wrong.code == 64)
  }

  @Test func `inputs rounded as in llama.cpp are another perplexity, and are named`() throws {
    let folder = try TemporaryFolder()
    let quantized = try Program(
      ["quantize", Self.model, "q.rilq", "--bits", "2", "--quiet"], in: folder
    ).wait()
    #expect(quantized.code == 0)
    let text = ["--text", evaluationText, "--window", "64", "--max-tokens", "1024", "--json"]
    let perplexities = try ["f32", "int8"].map { inputs in
      let result = try Program(["eval", "q.rilq", "--inputs", inputs] + text, in: folder).wait()
      let evaluation = try JSONValue(parsing: Array(result.output.utf8))
      #expect(evaluation["inputs"]?.string == (inputs == "f32" ? nil : inputs))
      return try #require(evaluation["perplexity"]?.double)
    }
    #expect((1e-6..<2e-2).contains(abs(perplexities[1] / perplexities[0] - 1)))
    for wrong in [["--inputs", "int4"], ["--inputs", "int8", "--products", "bf16"]] {
      #expect(try Program(["eval", "q.rilq"] + wrong + text, in: folder).wait().code == 64)
    }
  }

  @Test func `a text and tasks are measured in one run, with a reference also their agreement`() throws {
    let folder = try TemporaryFolder()
    try succeed("quantize", Self.model, "q.rilq", in: folder)
    let text = ["--text", evaluationText, "--window", "64", "--max-tokens", "256"]
    let both = try Program(
      ["eval", "q.rilq", "--tasks", Self.tasks, "--reference", Self.model, "--json"] + text, in: folder
    ).wait()
    let evaluation = try JSONValue(parsing: Array(both.output.utf8))
    for key in ["perplexity", "mean_kl", "mean_accuracy", "reference_mean_accuracy"] {
      #expect(evaluation[key]?.double != nil, "\(key)")
    }
    let alone = try document(Self.model, "--tasks", Self.tasks, in: folder)
    #expect(evaluation["reference_mean_accuracy"] == alone["mean_accuracy"])
    for task in evaluation["tasks"]?.array ?? [] {
      for key in ["agreement", "agreement_normalized"] {
        #expect(0...1 ~= (task[key]?.double ?? -1), "\(key)")
      }
    }
    let same = try document(Self.model, "--tasks", Self.tasks, "--reference", Self.model, in: folder)
    #expect(same["tasks"]?.array?.map { $0["agreement"]?.double } == [1, 1])
  }

  @Test func `several files are tasks of their own, shown as a table`() throws {
    let folder = try TemporaryFolder()
    try folder.write("sky.jsonl", Self.line)
    try folder.write("more.jsonl", Self.line + Self.line)
    let result = try succeed(
      "eval", Self.model, "--tasks", "sky.jsonl", "--tasks", "more.jsonl", "--max-questions", "1", in: folder)
    let rows = result.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    #expect(rows.prefix(4).map(\.first) == ["task", "sky", "more", "mean"])
    #expect(rows[1][1] == "1" && rows[2][1] == "1")
    // The error of a single question is unknown.
    #expect(rows[1][3] == "-")
  }

  @Test func `a long question is cut and counted`() throws {
    let folder = try TemporaryFolder()
    let long = String(repeating: "and it came to pass ", count: 200)
    try folder.write("long.jsonl", Self.line + Self.line.replacing("The sky is", with: long))
    let evaluation = try document(Self.model, "--tasks", "long.jsonl", in: folder)
    #expect(evaluation["tasks"]?.array?.first?["questions_cut"]?.integer == 1)
    let text = try succeed("eval", Self.model, "--tasks", "long.jsonl", in: folder).output
    #expect(text.contains("cut") && text.contains(": 1\n"))
  }

  @Test func `a malformed line is refused before the checkpoint is opened`() throws {
    let folder = try TemporaryFolder()
    try folder.write("q.jsonl", Self.line + Self.line.replacing("\"answer\": 0", with: "\"answer\": 7"))
    let result = try Program.run("eval", "none", "--tasks", "q.jsonl", in: folder)
    #expect(result.code == 2)
    #expect(result.error.says("rilq: q.jsonl: line 2: 'answer' is 7 …\n"))
  }

  @Test func `a reference with another vocabulary is refused`() throws {
    let folder = try folderWithModel(TinyModel { $0.vocabularySize = 1088 })
    let result = try Program.run(
      "eval", Self.model, "--tasks", Self.tasks, "--reference", "model", "--quiet", in: folder)
    #expect(result.code == 2 && result.error.says("rilq: the vocabularies have … 1088 …\n"))
  }

  @Test(arguments: [
    ["--tasks", "q.jsonl", "--max-questions", "0"], ["--tasks", "q.jsonl", "--max-tokens", "600"],
    ["--text", "t", "--max-questions", "2"], ["--tasks", "q.jsonl", "--tasks", "q.jsonl"], [],
  ])
  func `wrong usage exits with 64`(arguments: [String]) throws {
    let result = try Program(["eval", Self.model] + arguments, in: TemporaryFolder()).wait()
    #expect(result.code == 64 && result.error.hasPrefix("Error: "))
  }
}
