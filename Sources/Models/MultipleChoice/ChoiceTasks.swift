package import Checkpoints
package import Kernels

/// Tasks whose questions are tokenized for a checkpoint.
package struct ChoiceTasks: Sendable {
  /// The tasks, in order.
  package let tasks: [MultipleChoiceTask]
  /// One list per task with one element per question.
  package let sequences: [[ChoiceSequences]]

  /// Tokenizes the questions of tasks.
  ///
  /// - Parameters:
  ///   - tasks: The tasks.
  ///   - checkpoint: The model that answers.
  ///   - tokenizer: Its tokenizer.
  /// - Throws: `FormatError` with the question's line when the checkpoint cannot answer it.
  package init(_ tasks: [MultipleChoiceTask], for checkpoint: Checkpoint, _ tokenizer: Tokenizer) throws {
    let boundaries = try TextBoundaries(of: checkpoint)
    let contextLength = try ModelConfiguration(of: checkpoint).contextLength
    let firstToken = boundaries.beginToken ?? boundaries.endTokens.first
    self.tasks = tasks
    sequences = try tasks.map { task in
      try task.questions.map {
        try ChoiceSequences($0, tokenizer, firstToken: firstToken, contextLength: contextLength)
      }
    }
  }

  /// The number of tokens of all questions with their choices, each question counted once for each choice.
  package var tokenCount: Int { windows.reduce(0) { $0 + $1.count } }

  /// The tokens of every choice after its question, for `Transformer.requireTokens`.
  package var windows: [[Int32]] { sequences.joined().flatMap(\.windows) }
}

extension Transformer {
  /// Answers the questions of tasks.
  ///
  /// - Parameters:
  ///   - tasks: The tasks, tokenized with the model's own tokenizer or that of a model with the same one.
  ///   - group: The processes that share the questions; all of them get the result.
  ///   - progress: Called after each batch of choices.
  /// - Returns: One score per task.
  /// - Throws: `ModelError.tokenOutOfRange`; `.notFinite` with the first tensor or layer that is not finite.
  package func answer(
    _ tasks: ChoiceTasks, over group: any ProcessGroup = SingleProcess(),
    progress: ProgressHandler = { _ in }
  ) throws -> [TaskScore] {
    let scores = try logLikelihoods(
      of: Array(tasks.sequences.joined()), over: group, progress: progress)
    var rest = scores[...]
    return zip(tasks.tasks, tasks.sequences).map { task, sequences in
      defer { rest = rest.dropFirst(task.questions.count) }
      return TaskScore(
        task: task, chosen: zip(rest, task.questions).map { TaskScore.Chosen($0, of: $1.choices) },
        cutCount: sequences.count(where: \.isCut))
    }
  }
}
