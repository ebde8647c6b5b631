import Checkpoints
import Foundation
import Kernels
import Models
import Passes

/// The scores of the tasks of `rilq eval`, and their presentation.
struct TaskScores {
  private let scores: [TaskScore]
  /// The scores of the reference, if there is one.
  private let reference: [TaskScore]?
  private let tokenCount: Int
  private let seconds: Double

  /// Answers the questions with a model, and with a reference if there is one.
  init(
    of tasks: ChoiceTasks, _ model: Transformer, against reference: Transformer?,
    over group: any ProcessGroup,
    progress: ProgressHandler
  ) throws {
    let begin = ContinuousClock.now
    scores = try model.answer(tasks, over: group, progress: progress)
    seconds = begin.secondsSince
    tokenCount = tasks.tokenCount
    self.reference = try reference?.answer(tasks, over: group, progress: progress)
  }

  private var questionCount: Int { scores.reduce(0) { $0 + $1.chosen.count } }

  /// The members of the JSON document that other programs rely on.
  var members: [JSONValue.Member] {
    [
      JSONValue.Member("tasks", .array(scores.indices.map(taskJSON))),
      JSONValue.Member("mean_accuracy", .double(scores.mean(\.accuracy))),
      JSONValue.Member("mean_accuracy_normalized", .double(scores.mean(\.normalizedAccuracy))),
    ] + meansOfReference + [
      JSONValue.Member("questions_per_second", .double(Double(questionCount) / seconds)),
      JSONValue.Member("choice_tokens_per_second", .double(Double(tokenCount) / seconds)),
    ]
  }

  private var meansOfReference: [JSONValue.Member] {
    guard let reference else { return [] }
    return [
      JSONValue.Member("reference_mean_accuracy", .double(reference.mean(\.accuracy))),
      JSONValue.Member("reference_mean_accuracy_normalized", .double(reference.mean(\.normalizedAccuracy))),
    ]
  }

  private func taskJSON(_ index: Int) -> JSONValue {
    let score = scores[index]
    var members = [
      JSONValue.Member("name", .string(score.task.name)),
      JSONValue.Member("questions", .integer(score.chosen.count)),
      JSONValue.Member("accuracy", .double(score.accuracy.share)),
      JSONValue.Member("standard_error", .double(score.accuracy.standardError)),
      JSONValue.Member("accuracy_normalized", .double(score.normalizedAccuracy.share)),
      JSONValue.Member("standard_error_normalized", .double(score.normalizedAccuracy.standardError)),
      JSONValue.Member("questions_cut", .integer(score.cutCount)),
    ]
    if let reference = reference?[index] {
      members += [
        JSONValue.Member("reference_accuracy", .double(reference.accuracy.share)),
        JSONValue.Member("reference_accuracy_normalized", .double(reference.normalizedAccuracy.share)),
        JSONValue.Member("agreement", .double(score.agreement(with: reference, \.byLikelihood).share)),
        JSONValue.Member(
          "agreement_normalized", .double(score.agreement(with: reference, \.byLikelihoodPerCharacter).share)),
      ]
    }
    return .object(members)
  }
}

extension TaskScores {
  /// The lines of the text: a table with one row per task, then the remarks.
  var table: [String] {
    let isCompared = reference != nil
    let header =
      ["task", "questions", "accuracy", "± error", "normalized", "± error"]
      + (isCompared ? ["reference", "normalized", "agreement"] : [])
    var rows = [header] + scores.indices.map(row)
    if scores.count > 1 { rows.append(meanRow) }
    let cutCount = scores.reduce(0) { $0 + $1.cutCount }
    let speed = (Double(questionCount) / seconds).formatted(decimals: 1)
    let remarks = cutCount == 0 ? [] : ["questions cut to fit in the context: \(cutCount)"]
    return rows.aligned + remarks + ["questions per second: \(speed)"]
  }

  private func row(_ index: Int) -> [String] {
    let score = scores[index]
    var cells = [score.task.name.escapedForDisplay, "\(score.chosen.count)"]
    for share in [score.accuracy, score.normalizedAccuracy] {
      let error = share.standardError
      cells += [share.share.percent, error.isFinite ? error.percent : "-"]
    }
    guard let reference = reference?[index] else { return cells }
    return cells + [
      reference.accuracy.share.percent, reference.normalizedAccuracy.share.percent,
      score.agreement(with: reference, \.byLikelihood).share.percent,
    ]
  }

  private var meanRow: [String] {
    let own = [scores.mean(\.accuracy).percent, "", scores.mean(\.normalizedAccuracy).percent, ""]
    let others = reference.map { [$0.mean(\.accuracy).percent, $0.mean(\.normalizedAccuracy).percent, ""] }
    return ["mean of the tasks", "\(questionCount)"] + own + (others ?? [])
  }
}

extension [TaskScore] {
  /// The mean over the tasks, each with the same weight.
  fileprivate func mean(_ share: KeyPath<TaskScore, QuestionShare>) -> Double {
    reduce(0) { $0 + $1[keyPath: share].share } / Double(count)
  }
}

extension Double {
  /// A share in percent, without the sign.
  fileprivate var percent: String { (100 * self).formatted(decimals: 2) }
}

extension [[String]] {
  /// The rows as lines; the first column is aligned on the left, the others on the right.
  fileprivate var aligned: [String] {
    let widths = (first ?? []).indices.map { column in map { $0[column].count }.max() ?? 0 }
    return map { row in
      zip(row, widths).enumerated().map { column, cell in
        let space = String(repeating: " ", count: cell.1 - cell.0.count)
        return column == 0 ? cell.0 + space : space + cell.0
      }.joined(separator: "  ").trimmingCharacters(in: .whitespaces)
    }
  }
}
