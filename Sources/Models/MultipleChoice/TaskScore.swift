/// How many questions of a task a model answers correctly.
package struct TaskScore: Sendable, Equatable {
  /// The choice with the highest score, by both ways to score.
  package struct Chosen: Sendable, Equatable {
    /// The choice with the highest log likelihood.
    package let byLikelihood: Int
    /// The choice with the highest log likelihood per character of its text.
    package let byLikelihoodPerCharacter: Int
  }

  /// The task.
  package let task: MultipleChoiceTask
  /// One per question.
  package let chosen: [Chosen]
  /// The number of questions cut to fit in the context.
  package let cutCount: Int
}

/// A share of questions.
package struct QuestionShare: Sendable, Equatable {
  /// The number of questions that count.
  package let count: Int
  /// The number of all questions, at least 1.
  package let total: Int

  /// Counts questions.
  package init(count: Int, total: Int) {
    self.count = count
    self.total = total
  }

  /// The share, `0...1`.
  package var share: Double { Double(count) / Double(total) }
  /// The standard error of the share over questions of this kind; NaN for a single question.
  package var standardError: Double { (share * (1 - share) / Double(total - 1)).squareRoot() }
}

extension TaskScore {
  /// Correct answers by log likelihood.
  package var accuracy: QuestionShare { correct(\.byLikelihood) }
  /// Correct answers by log likelihood per character.
  package var normalizedAccuracy: QuestionShare { correct(\.byLikelihoodPerCharacter) }

  /// Returns the share of questions that another model answers with the same choice, right or wrong.
  package func agreement(with other: TaskScore, _ choice: KeyPath<Chosen, Int>) -> QuestionShare {
    let same = zip(chosen, other.chosen).count { $0[keyPath: choice] == $1[keyPath: choice] }
    return QuestionShare(count: same, total: chosen.count)
  }

  private func correct(_ choice: KeyPath<Chosen, Int>) -> QuestionShare {
    let correct = zip(chosen, task.questions).count { $0[keyPath: choice] == $1.answer }
    return QuestionShare(count: correct, total: chosen.count)
  }
}

extension TaskScore.Chosen {
  /// Chooses among choices; among equal scores the first one.
  ///
  /// Source: `acc` and `acc_norm` of EleutherAI's lm-evaluation-harness, which counts the code points of a
  /// choice without the space before it.
  ///
  /// - Parameters:
  ///   - logLikelihoods: One per choice, finite, in nats.
  ///   - choices: The texts.
  package init(_ logLikelihoods: [Double], of choices: [String]) {
    byLikelihood = Self.firstBest(logLikelihoods)
    byLikelihoodPerCharacter = Self.firstBest(
      zip(logLikelihoods, choices).map { $0 / Double($1.unicodeScalars.count) })
  }

  private static func firstBest(_ scores: [Double]) -> Int {
    scores.indices.dropFirst().reduce(0) { scores[$1] > scores[$0] ? $1 : $0 }
  }
}
