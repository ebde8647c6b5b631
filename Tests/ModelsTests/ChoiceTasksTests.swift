import Checkpoints
import Kernels
import Models
import TestSupport
import Testing

/// Scores of multiple-choice questions; the numbers of transformers are in `Fixtures/golden/tasks.json`.
@Suite struct ChoiceTasksTests {
  /// The sum over at most twenty tokens of differences of fp32 in another order of addition.
  private static let tolerance = 1e-3

  private let checkpoint: Checkpoint
  private let tokenizer: Tokenizer

  init() throws {
    checkpoint = try Checkpoint.open(path: Fixtures.path("tiny-llama"))
    tokenizer = try Tokenizer(of: checkpoint)
  }

  private func fixture() throws -> ChoiceTasks {
    let tasks = try MultipleChoiceTask.tasks(contentsOf: [Fixtures.path("tasks/general.jsonl")])
    return try ChoiceTasks(tasks, for: checkpoint, tokenizer)
  }

  private func question(_ text: String, _ choices: [String]) throws -> MultipleChoiceQuestion {
    let object = JSONValue.object([
      .init("question", .string(text)), .init("choices", .array(choices.map { .string($0) })),
      .init("answer", .integer(0)),
    ])
    let lines = try JSONLines(parsing: Array(object.compactText.utf8), path: "q.jsonl").lines
    return try MultipleChoiceQuestion(lines[0], path: "q.jsonl")
  }

  private func sequences(
    _ text: String, _ choices: [String], firstToken: Int32? = 0, contextLength: Int = 512
  ) throws -> ChoiceSequences {
    try ChoiceSequences(
      question(text, choices), tokenizer, firstToken: firstToken, contextLength: contextLength)
  }

  @Test func `tokens and log likelihoods are those of transformers`() throws {
    let golden = try #require(try GoldenModel.json("tasks.json")["questions"]?.array)
    let tasks = try fixture()
    let questions = Array(tasks.sequences.joined())
    try #require(questions.count == golden.count)
    let scores = try Transformer(checkpoint).logLikelihoods(of: questions)
    for (index, item) in golden.enumerated() {
      let context = try #require(item["context_tokens"]?.array).compactMap(\.integer)
      let choices = try #require(item["choice_tokens"]?.array).map { $0.array?.compactMap(\.integer) ?? [] }
      #expect(questions[index].windows == choices.map { (context + $0).map { Int32($0) } })
      let expected = try #require(item["log_likelihoods"]?.array).compactMap(\.double)
      try #require(scores[index].count == expected.count)
      for (score, value) in zip(scores[index], expected) { #expect(abs(score - value) < Self.tolerance) }
    }
  }

  @Test func `chosen answers, accuracies and errors are those of transformers`() throws {
    let golden = try GoldenModel.json("tasks.json")
    let scores = try Transformer(checkpoint).answer(fixture())
    let chosen = scores.flatMap(\.chosen)
    let questions = try #require(golden["questions"]?.array)
    #expect(chosen.map(\.byLikelihood) == questions.map { $0["chosen"]?.integer })
    #expect(chosen.map(\.byLikelihoodPerCharacter) == questions.map { $0["chosen_normalized"]?.integer })
    let tasks = try #require(golden["tasks"]?.array)
    #expect(scores.map(\.task.name) == tasks.map { $0["name"]?.string })
    for (score, task) in zip(scores, tasks) {
      #expect(score.accuracy.total == task["questions"]?.integer)
      let values = [
        ("accuracy", score.accuracy.share), ("standard_error", score.accuracy.standardError),
        ("accuracy_normalized", score.normalizedAccuracy.share),
        ("standard_error_normalized", score.normalizedAccuracy.standardError),
      ]
      for (key, value) in values { #expect(abs(value - (task[key]?.double ?? .nan)) < 1e-12, "\(key)") }
    }
  }

  @Test func `white space at the end of the question belongs to the choice`() throws {
    let plain = try sequences("A vine bears", ["grapes", "wool"])
    #expect(try sequences("A vine bears ", ["grapes", "wool"]) == plain)
    #expect(try sequences("A vine bears", [" grapes", " wool"]) == plain)
    let whole = tokenizer.encode("A vine bears\ngrapes")
    #expect(try sequences("A vine bears\n", ["grapes", "wool"]).windows[0] == whole)
  }

  @Test func `a question without text begins with the first token of a text`() throws {
    let empty = try sequences("", ["grapes", "wool"], firstToken: 7)
    #expect(empty.windows == [[7] + tokenizer.encode(" grapes"), [7] + tokenizer.encode(" wool")])
    let text = message { _ = try sequences("", ["grapes", "wool"], firstToken: nil) }
    #expect(text.hasPrefix("q.jsonl: line 1: ") && text.contains("empty question"), "\(text)")
  }

  @Test func `a question beyond the context loses its first tokens`() throws {
    let long = String(repeating: "And it came to pass. ", count: 12) + "A vine bears"
    let whole = try sequences(long, ["grapes", "figs and olives"])
    #expect(!whole.isCut)
    // The model reads all tokens except the last one.
    let limit = 40
    let cut = try sequences(long, ["grapes", "figs and olives"], contextLength: limit)
    #expect(cut.isCut)
    #expect(cut.windows == whole.windows.map { Array($0.suffix(limit + 1)) })
    let text = message { _ = try sequences("A", ["b", "figs and olives"], contextLength: 1) }
    #expect(text.contains("line 1: choice 1 ") && text.contains("context is 1"), "\(text)")
  }

  @Test func `choices that share a run of the question score as if alone`() throws {
    let model = try Transformer(checkpoint)
    let text = "Question: Who keeps the sheep?\nAnswer:"
    let together = try sequences(text, ["A", "B", "the shepherd", "the", "the shepherds of"])
    let scores = try model.logLikelihoods(of: [together])[0]
    for (index, choice) in ["A", "B", "the shepherd", "the", "the shepherds of"].enumerated() {
      let alone = try model.logLikelihoods(of: [sequences(text, [choice, "a stone in the house"])])[0][0]
      #expect(abs(scores[index] - alone) < 1e-4, "\(choice)")
    }
  }

  /// Windows, states of recurrences, and keys that depend on the length of the sequence.
  @Test(arguments: [
    try FamilyModel.connectedGemma4(), try .qwen3_5(), try .lfm2(),
    try FamilyModel(
      """
      {"model_type": "llama", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "vocab_size": 1024, "max_position_embeddings": 14,
        "rope_scaling": {"type": "dynamic", "factor": 8.0}}
      """),
  ])
  func `choices score as alone in every kind of model`(kind: FamilyModel) throws {
    let folder = try TemporaryFolder()
    let model = try Transformer(kind.write(to: folder.path("model")))
    let text = "Question: Who keeps the sheep?\nAnswer:"
    let choices = ["the shepherd", "the shepherd of", "figs of wool"]
    let scores = try model.logLikelihoods(of: [sequences(text, choices)])[0]
    for (index, choice) in choices.enumerated() {
      let window = try sequences(text, [choice, choice]).windows[0]
      let rotary = model.rotaryTables(positions: window.count - 1)
      let logits = model.logits(try model.finalHidden(Array(window.dropLast()), rotary: rotary))
      let start = tokenizer.encode(text).count
      let alone = (start..<window.count).reduce(0.0) { sum, position in
        let row = logits.values.span.extracting(logits.row(position - 1))
        return sum + Double(row[Int(window[position])]) - Double(logSumExp(row))
      }
      #expect(abs(scores[index] - alone) < Self.tolerance, "\(choice)")
    }
  }

  @Test func `a question is computed once for all of its choices`() throws {
    let text = String(repeating: "And it came to pass. ", count: 12) + "A vine bears"
    let question = tokenizer.encode(text)
    let choices = ["grapes of the vineyard", "wool from the flock", "sons"]
    var total = 0
    _ = try Transformer(checkpoint).logLikelihoods(of: [sequences(text, choices)]) { total = $0.total }
    let rest = choices.map { tokenizer.encode(text + " " + $0).count - question.count - 1 }
    #expect(total == question.count + rest.reduce(0, +))
  }

  @Test func `a last token outside of the vocabulary is refused`() throws {
    let small = try TinyModel { $0.vocabularySize = 300 }.write(to: TemporaryFolder().path("model"))
    // The token of ' unto' is 320; the model reads only the one before it.
    let question = try sequences("a", ["unto", "the"])
    #expect(question.windows == [[66, 320], [66, 260]])
    #expect(throws: ModelError.tokenOutOfRange(id: 320, vocabularySize: 300)) {
      _ = try Transformer(small).logLikelihoods(of: [question])
    }
  }

  @Test func `among equal scores the first choice is chosen, and characters are code points`() {
    let chosen = TaskScore.Chosen([-2, -2, -3], of: ["ab", "cd", "éééé"])
    #expect(chosen.byLikelihood == 0)
    #expect(chosen.byLikelihoodPerCharacter == 2)
    // -4 / 4 code points is below -2.9 / 3; -4 / 8 bytes would be above.
    #expect(TaskScore.Chosen([-4, -2.9], of: ["éééé", "abc"]).byLikelihoodPerCharacter == 1)
  }

  @Test func `the agreement counts equal answers, right or wrong`() throws {
    let tasks = try fixture()
    let model = try Transformer(checkpoint)
    let scores = try model.answer(tasks)
    for score in scores { #expect(score.agreement(with: score, \.byLikelihood).share == 1) }
    let other = try TinyModel().write(to: TemporaryFolder().path("model"))
    let others = try Transformer(other).answer(tasks)
    let agreements = zip(scores, others).map { $0.agreement(with: $1, \.byLikelihood).share }
    #expect(agreements.contains { $0 < 1 })
  }

  @Test func `the error of a single question is unknown`() {
    #expect(QuestionShare(count: 1, total: 1).standardError.isNaN)
    #expect(abs(QuestionShare(count: 3, total: 4).standardError - 0.25) < 1e-15)
  }
}
