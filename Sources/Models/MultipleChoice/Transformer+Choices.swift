import Checkpoints
import Kernels

extension Transformer {
  /// Computes the log likelihood of each choice after its question.
  ///
  /// Choices that differ in their last token only, such as letters, are read from one run of the question.
  ///
  /// - Parameters:
  ///   - questions: The tokens of each question with its choices.
  ///   - progress: Called after each batch of sequences with the number of sequences.
  /// - Returns: The sum over the tokens of each choice, in nats; one list per question.
  /// - Throws: `ModelError.tokenOutOfRange`; `.notFinite` with the first tensor or layer that is not finite.
  package func logLikelihoods(
    of questions: [ChoiceSequences], progress: ProgressHandler = { _ in }
  ) throws -> [[Double]] {
    // The last token of a choice is read from the logits only, which the embedding does not check.
    let size = configuration.vocabularySize
    if let token = questions.flatMap(\.windows).joined().first(where: { !(0..<size).contains(Int($0)) }) {
      throw ModelError.tokenOutOfRange(id: Int(token), vocabularySize: size)
    }
    let runs = questions.enumerated().flatMap { index, question in ChoiceRun.runs(of: question, index) }
    let length = runs.map(\.inputs.count).max() ?? 1
    let rotary = rotaryTables(positions: length)
    let atOnce = windowsAtOnce(length: length)
    var result = questions.map { [Double](repeating: 0, count: $0.sequences.count) }
    for start in stride(from: 0, to: runs.count, by: atOnce) {
      let batch = runs[start..<min(start + atOnce, runs.count)]
      let sums = try parallelMap(batch.count) { index in
        try logLikelihoods(of: batch[start + index], rotary: rotary)
      }
      for (run, sums) in zip(batch, sums) {
        for (choice, sum) in zip(run.choices, sums) {
          try requireFinite(sum, of: run.inputs, "the log likelihood of a choice")
          result[run.question][choice.index] = sum
        }
      }
      progress(Progress(phase: "score choices", completed: batch.endIndex, total: runs.count))
    }
    return result
  }

  /// Returns the log likelihood of each choice that a run computes.
  private func logLikelihoods(of run: ChoiceRun, rotary: RotaryTables) throws -> [Double] {
    let hidden = try finalHidden(run.inputs, rotary: rotary)
    var sums = [Double](repeating: 0, count: run.choices.count)
    let rows = run.scoredRows
    for start in stride(from: rows.lowerBound, to: rows.upperBound, by: Self.tokensPerLogitBlock) {
      let block = start..<min(start + Self.tokensPerLogitBlock, rows.upperBound)
      let logits = logits(hidden.rows(block))
      for (row, position) in block.enumerated() {
        let row = logits.values.span.extracting(logits.row(row))
        let norm = Double(logSumExp(row))
        for (index, choice) in run.choices.enumerated() {
          guard choice.sequence.scoredRows.contains(position) else { continue }
          sums[index] += Double(row[Int(choice.sequence.tokens[position + 1])]) - norm
        }
      }
    }
    return sums
  }
}

/// Tokens that the model reads once, for one or several choices of a question.
private struct ChoiceRun: Sendable {
  /// A choice whose inputs are the first tokens of the run.
  struct Choice: Sendable {
    let index: Int
    let sequence: ChoiceSequences.Sequence
  }

  /// The index of the question.
  let question: Int
  let inputs: [Int32]
  private(set) var choices: [Choice]

  /// The rows whose logits any of the choices needs.
  var scoredRows: Range<Int> {
    let rows = choices.map(\.sequence.scoredRows)
    return (rows.map(\.lowerBound).min() ?? 0)..<(rows.map(\.upperBound).max() ?? 0)
  }

  /// Returns the runs of a question, as few as possible.
  static func runs(of question: ChoiceSequences, _ index: Int) -> [ChoiceRun] {
    let choices = question.sequences.enumerated().map { Choice(index: $0, sequence: $1) }
    var runs: [ChoiceRun] = []
    // The longest first, so that the others find the run that begins with their inputs.
    for choice in choices.sorted(by: { $0.sequence.tokens.count > $1.sequence.tokens.count }) {
      if let run = runs.firstIndex(where: { $0.inputs.starts(with: choice.sequence.inputs) }) {
        runs[run].choices.append(choice)
      } else {
        runs.append(ChoiceRun(question: index, inputs: Array(choice.sequence.inputs), choices: [choice]))
      }
    }
    return runs
  }
}
