import Checkpoints
package import Kernels
import Synchronization

extension Transformer {
  /// The most tokens whose logits exist at the same time: as many as take 32 MiB, from 32 to 256.
  ///
  /// The output head is unpacked again for each block of tokens.
  package static func tokensPerLogitBlock(vocabulary: Int) -> Int {
    min(max((1 << 23) / max(vocabulary, 1), 32), 256)
  }

  /// The most tokens whose logits exist at the same time.
  package var tokensPerLogitBlock: Int { Self.tokensPerLogitBlock(vocabulary: configuration.vocabularySize) }

  /// Cuts tokens into nearly equal blocks whose logits may exist at the same time.
  func logitBlocks(of tokens: Range<Int>) -> [Range<Int>] {
    let most = tokensPerLogitBlock
    return evenRanges(of: tokens.count, count: (tokens.count + most - 1) / most).map { tokens.shifted($0) }
  }

  /// Computes the ground-truth loss and the divergence of a window, and adds their gradient if asked.
  ///
  /// - Parameters:
  ///   - hidden: After the final norm, `[tokens, hidden]`.
  ///   - window: Its tokens and the original's output for them.
  ///   - objective: The parts of the loss and their weights.
  ///   - gradientScale: The factor of the gradient.
  ///   - gradient: The gradient of the hidden states, `[tokens, hidden]`, added to; nil computes none.
  /// - Returns: Both parts, not weighted; zeros when no token is scored.
  func logitLosses(
    _ hidden: Matrix, _ window: TrainingWindow, _ objective: RilqObjective, gradientScale: Double,
    gradient: inout Matrix?
  ) -> RilqLoss {
    let length = window.tokens.count
    precondition(length > 1, "a window needs at least two tokens")
    let scoredCount = window.scoredCount
    guard scoredCount > 0 else { return RilqLoss() }
    let scale = gradientScale / Double(scoredCount)
    var (crossEntropy, divergence) = (0.0, 0.0)
    for block in logitBlocks(of: 0..<length - 1) {
      let input = hidden.rows(block)
      var logits = logits(input)
      let kept = gradient == nil ? nil : logitsNeededByGradient(logits)
      let losses = logits.replaceByGradient(
        window, block, teacher: teacherLogits(window, block, objective), objective, scale: scale)
      for loss in losses {
        crossEntropy += loss.crossEntropy
        divergence += loss.divergence
      }
      if gradient != nil {
        gradient?.addRows(hiddenGradient(input, ofLogits: logits, kept), at: block.lowerBound)
      }
    }
    return RilqLoss(
      groundTruthLoss: crossEntropy / Double(scoredCount), divergence: divergence / Double(scoredCount))
  }

  private func teacherLogits(
    _ window: TrainingWindow, _ block: Range<Int>, _ objective: RilqObjective
  ) -> Matrix? {
    guard let head = objective.teacherHead else { return nil }
    let width = configuration.hiddenSize
    let values = Array(window.teacher[block.lowerBound * width..<block.upperBound * width])
    return finished(logits: head(Matrix(rows: block.count, columns: width, values: values)))
  }
}

extension Matrix {
  /// Returns a copy of some rows.
  package func rows(_ range: Range<Int>) -> Matrix {
    Matrix(
      rows: range.count, columns: columnCount,
      values: Array(values[range.lowerBound * columnCount..<range.upperBound * columnCount]))
  }

  fileprivate mutating func addRows(_ other: Matrix, at row: Int) {
    let start = row * columnCount
    for i in other.values.indices { values[start + i] += other.values[i] }
  }

  /// Replaces the logits of a block of positions by the gradient of their losses, row by row.
  ///
  /// - Returns: The losses of each row; zeros for a token that is not scored.
  fileprivate mutating func replaceByGradient(
    _ window: TrainingWindow, _ block: Range<Int>, teacher: Matrix?, _ objective: RilqObjective, scale: Double
  ) -> [RowLosses] {
    let columnCount = self.columnCount
    let scales = (
      label: Float(objective.weights.groundTruth * scale),
      teacher: Float(objective.weights.divergence * scale)
    )
    let losses = Mutex([RowLosses](repeating: RowLosses(crossEntropy: 0, divergence: 0), count: rowCount))
    var span = values.mutableSpan
    parallelRows(of: &span, columnCount: columnCount, rowsPerChunk: 8) { rows, part in
      for (i, row) in rows.enumerated() {
        var logits = part.slice(i * columnCount..<(i + 1) * columnCount)
        let token = block.lowerBound + row + 1
        guard window.scores(token) else {
          logits.update(repeating: 0)
          continue
        }
        let loss = rowLosses(
          &logits, teacher, row: row, target: Int(window.tokens[token]), objective.divergence, scales)
        losses.withLock { $0[row] = loss }
      }
    }
    return losses.withLock { $0 }
  }
}

private func rowLosses(
  _ logits: inout MutableSpan<Float>, _ teacher: Matrix?, row: Int, target: Int, _ shape: DivergenceShape,
  _ scales: (label: Float, teacher: Float)
) -> RowLosses {
  guard let teacher else {
    let loss = crossEntropyRow(logits: &logits, target: target, gradientScale: scales.label)
    return RowLosses(crossEntropy: loss, divergence: 0)
  }
  let taught = teacher.values.span.extracting(teacher.row(row))
  guard shape.isPlain else {
    return distillTopRow(
      logits: &logits, teacher: taught, target: target, shape, labelScale: scales.label,
      teacherScale: scales.teacher)
  }
  return distillRow(
    logits: &logits, teacher: taught, target: target, labelScale: scales.label, teacherScale: scales.teacher)
}
