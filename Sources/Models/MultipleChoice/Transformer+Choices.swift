import Checkpoints
package import Kernels

extension Transformer {
  /// The maximum memory of the keys and values of questions that are computed together, in bytes.
  private static let choiceMemory = 1_000_000_000

  /// Computes the log likelihood of each choice after its question.
  ///
  /// The tokens that all choices of a question begin with are computed once. Choices that differ in their last
  /// token only, such as letters, need no more than that.
  ///
  /// - Parameters:
  ///   - questions: The tokens of each question with its choices.
  ///   - group: The processes that share the questions; all of them get the result.
  ///   - progress: Called after each batch of questions with the number of tokens that this process computed.
  /// - Returns: The sum over the tokens of each choice, in nats; one list per question.
  /// - Throws: `ModelError.tokenOutOfRange`; `.notFinite` with the first tensor or layer that is not finite.
  package func logLikelihoods(
    of questions: [ChoiceSequences], over group: any ProcessGroup = SingleProcess(),
    progress: ProgressHandler = { _ in }
  ) throws -> [[Double]] {
    // The last token of a choice is read from the logits only, which the embedding does not check.
    let size = configuration.vocabularySize
    if let token = questions.flatMap(\.windows).joined().first(where: { !(0..<size).contains(Int($0)) }) {
      throw ModelError.tokenOutOfRange(id: Int(token), vocabularySize: size)
    }
    let length = questions.flatMap(\.sequences).map(\.inputs.count).max() ?? 1
    // If the length of a sequence decides how it turns, nothing computed for a shorter one can be shared.
    let shares = !configuration.turnsByLength(upTo: length)
    let runs = questions.enumerated().flatMap { QuestionRun.runs(of: $1, $0, shares: shares) }
    let own = runs[group.share(of: runs.count)]
    let total = own.reduce(0) { $0 + $1.tokenCount }
    let rotary = shares ? rotaryTables(positions: length) : nil
    let cacheSize = max(keyValueBytes(tokens: length), 1)
    let atOnce = min(windowsAtOnce(length: length), max(1, Self.choiceMemory / cacheSize))
    var ownSums: [Double] = []
    var completed = 0
    for start in stride(from: own.startIndex, to: own.endIndex, by: atOnce) {
      let batch = own[start..<min(start + atOnce, own.endIndex)]
      let sums = try parallelMap(batch.count) { index in
        try logLikelihoods(of: batch[start + index], rotary: rotary)
      }
      for (run, sums) in zip(batch, sums) {
        for (choice, sum) in zip(run.choices, sums) {
          try requireFinite(sum, of: Array(choice.sequence.inputs), "the log likelihood of a choice")
          ownSums.append(sum)
        }
        completed += run.tokenCount
      }
      progress(Progress(phase: "score choices", completed: completed, total: total))
    }
    var result = questions.map { [Double](repeating: 0, count: $0.sequences.count) }
    let choices = runs.flatMap { run in run.choices.map { (question: run.question, index: $0.index) } }
    for (choice, sum) in zip(choices, try group.gathered(ownSums)) {
      result[choice.question][choice.index] = sum
    }
    return result
  }

  /// Returns the log likelihood of each choice of a run.
  ///
  /// - Parameters:
  ///   - run: The choices.
  ///   - rotary: Tables for any length; nil if the length decides how a sequence turns.
  /// - Returns: One per choice, in nats.
  /// - Throws: `ModelError.tokenOutOfRange`.
  private func logLikelihoods(of run: QuestionRun, rotary: RotaryTables?) throws -> [Double] {
    guard run.branches.count > 1 else {
      let rotary = rotary ?? rotaryTables(positions: run.shared.count)
      return logLikelihoods(of: run.choices, try finalHidden(run.shared, rotary: rotary), from: 0)
    }
    let length = run.shared.count + (run.branches.map(\.inputs.count).max() ?? 0)
    var question = Decoder(self, capacity: length)
    let hidden = try question.finalHidden(run.shared)
    let ends = try run.branches.flatMap { branch in
      var continued = question
      return logLikelihoods(
        of: branch.choices, try continued.finalHidden(branch.inputs), from: run.shared.count)
    }
    return zip(logLikelihoods(of: run.choices, hidden, from: 0), ends).map { $0 + $1 }
  }

  /// Returns, for each choice, the log likelihood of its tokens that some rows predict.
  ///
  /// - Parameters:
  ///   - choices: The choices.
  ///   - hidden: The hidden states after the final norm, `[tokens, hidden]`.
  ///   - first: The position of the first row in the choices' sequences.
  /// - Returns: One per choice, in nats.
  private func logLikelihoods(
    of choices: [QuestionRun.Choice], _ hidden: Matrix, from first: Int
  ) -> [Double] {
    var sums = [Double](repeating: 0, count: choices.count)
    let scored = choices.map(\.sequence.scoredRows)
    let end = min(scored.map(\.upperBound).max() ?? 0, first + hidden.rowCount)
    let begin = min(max(scored.map(\.lowerBound).min() ?? 0, first), end)
    for block in logitBlocks(of: begin..<end) {
      let logits = logits(hidden.rows(block.lowerBound - first..<block.upperBound - first))
      for (row, position) in block.enumerated() {
        let row = logits.values.span.extracting(logits.row(row))
        let norm = Double(logSumExp(row))
        for (index, choice) in choices.enumerated() where scored[index].contains(position) {
          sums[index] += Double(row[Int(choice.sequence.tokens[position + 1])]) - norm
        }
      }
    }
    return sums
  }
}

/// A question with choices whose tokens begin alike.
private struct QuestionRun: Sendable {
  /// A choice of the question.
  struct Choice: Sendable {
    let index: Int
    let sequence: ChoiceSequences.Sequence
  }

  /// Choices whose inputs are the first tokens of the longest of them.
  struct Branch: Sendable {
    /// What follows the shared tokens; empty if there is one branch.
    var inputs: [Int32]
    var choices: [Choice]
  }

  /// The index of the question.
  let question: Int
  /// The tokens with which the inputs of every branch begin, at least one.
  let shared: [Int32]
  /// At least one.
  let branches: [Branch]

  var choices: [Choice] { branches.flatMap(\.choices) }
  /// The number of tokens that are computed.
  var tokenCount: Int { branches.reduce(shared.count) { $0 + $1.inputs.count } }

  private init(_ question: Int, shared: [Int32], _ branches: [Branch]) {
    self.question = question
    self.shared = shared
    self.branches = branches.map {
      Branch(inputs: Array($0.inputs.dropFirst(shared.count)), choices: $0.choices)
    }
  }

  /// Returns one run for all choices of a question, or one for each branch if nothing is shared.
  static func runs(of question: ChoiceSequences, _ index: Int, shares: Bool) -> [QuestionRun] {
    let branches = branches(of: question, shares: shares)
    let first = branches[0].inputs
    let count = branches.dropFirst().reduce(first.count) { count, branch in
      zip(first.prefix(count), branch.inputs).prefix { $0 == $1 }.count
    }
    if branches.count == 1 || shares && count > 0 {
      return [QuestionRun(index, shared: Array(first.prefix(count)), branches)]
    }
    return branches.map { QuestionRun(index, shared: $0.inputs, [$0]) }
  }

  /// Returns the whole inputs that the choices of a question need, as few as possible.
  private static func branches(of question: ChoiceSequences, shares: Bool) -> [Branch] {
    let choices = question.sequences.enumerated().map { Choice(index: $0, sequence: $1) }
    var branches: [Branch] = []
    // The longest first, so that the others find the branch that begins with their inputs.
    for choice in choices.sorted(by: { $0.sequence.tokens.count > $1.sequence.tokens.count }) {
      let inputs = choice.sequence.inputs
      let branch = branches.firstIndex {
        $0.inputs.starts(with: inputs) && (shares || $0.inputs.count == inputs.count)
      }
      if let branch {
        branches[branch].choices.append(choice)
      } else {
        branches.append(Branch(inputs: Array(inputs), choices: [choice]))
      }
    }
    return branches
  }
}
