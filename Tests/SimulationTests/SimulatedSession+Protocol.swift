import BatchProtocol

// MARK: The protocol: what its actions do.

extension SimulatedSession {
    func stop() {
        isStopping = true
        _ = machine.handle(.stop)
        if case .ended(let ending) = machine.state { end(ending) }
    }

    func takeNext() {
        guard machine.state == .idle, let next = queued else { return }
        queued = nil
        guard next.span.assignment == ledger.assignment else { return }
        batch = next
        firstVerdicts = nil
        step(.batch(next.span))
    }

    func step(_ event: BatchProtocol.Event) {
        simulation.note("worker \(worker.instance) \(machine.state) \(event)")
        perform(machine.handle(event))
        while !machine.isDelivering, !isEnded, !changes.isEmpty { changes.removeFirst()() }
    }

    func perform(_ action: BatchProtocol.Action) {
        guard let step = Self.step(action), let trap = worker.trap, trap.step == step else {
            return carryOut(action)
        }
        worker.trap = nil
        simulation.note("worker \(worker.instance) is caught at \(step)\(trap.isSent ? ", sent" : "")")
        if trap.isSent { carryOut(action) }
        trap.fault(worker)
        if !trap.isSent { later(1...2) { self.carryOut(action) } }
    }

    static func step(_ action: BatchProtocol.Action) -> Schedule.Step? {
        switch action {
        case .readWindows: .read
        case .evaluate: .evaluate
        case .prepare: .prepare
        case .writeWindows: .write
        case .commit: .commit
        case .abort: .abort
        case .askCommittedOffsets, .wait, .finish, .end, .carryOn: nil
        }
    }

    func carryOut(_ action: BatchProtocol.Action) {
        switch action {
        case .readWindows: readWindows()
        case .askCommittedOffsets(let partitions): askCommittedOffsets(partitions)
        case .evaluate: later(1...4) { self.evaluate() }
        case .prepare: prepare()
        case .writeWindows: writeWindows()
        case .commit: commit()
        case .abort: abort()
        case .wait:
            later(5...30) { [self] in
                let isCurrent = batch?.span.assignment == ledger.assignment
                step(isCurrent ? .waited : .failed(.assignmentLost))
            }
        case .finish(let outcome): finish(outcome)
        case .end(let ending): end(ending)
        case .carryOn: break
        }
    }

    func answer<Answer>(
        _ result: Result<Answer, BatchProtocol.Failure>, _ event: (Answer) -> BatchProtocol.Event
    ) {
        switch result {
        case .success(let answer): step(event(answer))
        case .failure(.fenced) where breakage == .fencedGoesOn: step(.failed(.away))
        case .failure(let failure): step(.failed(failure))
        }
    }

    func readWindows() {
        guard let batch else { return }
        let session = member.process
        call(.store) { [store = simulation.store] in
            store.read(batch, session: session)
        } _: { [self] result in
            answer(result) { reading in
                self.reading = reading
                return .windowsRead(asking: reading.asked)
            }
        }
    }

    func askCommittedOffsets(_ partitions: [Int32]) {
        call(.broker) { [broker] () throws(SimulatedBroker.Refusal) in
            try broker.fetchOffsets(partitions)
        } _: {
            [self] result in
            if case .success(let committed) = result {
                reading?.committedElsewhere = committed
            }
            answer(result) { _ in .offsetsAnswered }
        }
    }

    func evaluate() {
        guard batch != nil else { return }
        if batch?.model == nil || breakage == .modelsEachAttempt { batch?.model = simulation.model }
        guard let reading, let model = batch?.model else { return }
        evaluation = reading.evaluate(model, reading.committedElsewhere)
        if let firstVerdicts, firstVerdicts.map(\.model) != evaluation.verdicts.map(\.model) {
            simulation.violate(.sameBytesAgain, "a batch was repeated with other models")
        }
        firstVerdicts = firstVerdicts ?? evaluation.verdicts
        step(.evaluated)
    }

    var offsets: [Int32: Int64] {
        let shift: Int64 = breakage == .offsetOfLastRecord ? -1 : breakage == .offsetOnePast ? 1 : 0
        return Dictionary(
            uniqueKeysWithValues: batch?.span.slices.map { ($0.partition, $0.end + shift) } ?? [])
    }

    func prepare() {
        let isChecked = breakage != .checkBeforeDelivery && breakage != .assignmentNotCounted
        if isChecked, batch?.span.assignment != ledger.assignment { return step(.failed(.assignmentLost)) }
        let verdicts = evaluation.verdicts
        guard simulation.schedule.isExactlyOnce else { return prepareAtLeastOnce(verdicts) }
        let (member, epoch, now) = (member, epoch, simulation.now)
        let isOutside = breakage == .publishOutsideTransaction
        call(.broker) { [broker] () throws(SimulatedBroker.Refusal) -> Int in
            let id = try broker.begin(member.instance, epoch: epoch, now: now)
            if isOutside {
                broker.publish(verdicts)
            } else {
                try broker.produce(verdicts, transaction: id, member.instance, epoch: epoch)
            }
            return id
        } _: { [self] result in
            if case .success(let id) = result {
                transaction = id
                if breakage == .offsetsAfterWriting { return step(.prepared) }
                addOffsets(.prepared)
            } else {
                answer(result) { _ in .prepared }
            }
        }
    }

    func prepareAtLeastOnce(_ verdicts: [SimulatedVerdict]) {
        let publish = { [self] in
            call(.broker) { [broker] in
                broker.publish(verdicts)
            } _: { [self] in
                answer($0) { .prepared }
            }
        }
        if breakage == .skipStartCommit { return publish() }
        let starts = Dictionary(
            uniqueKeysWithValues: batch?.span.slices.map { ($0.partition, $0.start) } ?? [])
        let (member, generation) = (member, generation)
        call(.broker) { [broker] () throws(SimulatedBroker.Refusal) in
            try broker.commitOffsets(starts, member, generation: generation)
        } _: { [self] result in
            if case .success = result { publish() } else { answer(result) { .prepared } }
        }
    }

    func addOffsets(_ event: BatchProtocol.Event) {
        guard let transaction else { return }
        let (member, epoch, generation, offsets) = (member, epoch, generation, offsets)
        call(.broker) { [broker] () throws(SimulatedBroker.Refusal) in
            try broker.addOffsets(
                offsets, transaction: transaction, member, epoch: epoch, generation: generation)
        } _: { [self] in
            answer($0) { event }
        }
    }

    func writeWindows() {
        let write = evaluation.write
        if breakage == .commitBeforeWriting {
            // The commit comes first, and the windows once it is answered.
            return commitCall { [self] result in
                guard case .success = result else { return answer(result) { .windowsWritten } }
                writeCall(write) { _ in self.step(.windowsWritten) }
            }
        }
        writeCall(write) { [self] result in
            if case .success(false) = result { simulation.report.conflicts += 1 }
            if case .success(true) = result, breakage == .offsetsAfterWriting {
                return addOffsets(.windowsWritten)
            }
            answer(result) { $0 || breakage == .conflictIsWritten ? .windowsWritten : .conflict }
        }
    }

    func writeCall(
        _ write: @escaping () -> Bool, _ then: @escaping (Result<Bool, BatchProtocol.Failure>) -> Void
    ) {
        call(.store, repeatable: true) {
            write()
        } _: {
            then($0)
        }
    }

    func commit() {
        commitCall { [self] result in
            switch result {
            case .failure(.away) where breakage == .unansweredIsCommitted: step(.committed)
            case .failure(.away) where breakage == .unansweredIsAborted: step(.failed(.transactionLost))
            default: answer(result) { .committed }
            }
        }
    }

    func commitCall(_ then: @escaping (Result<Void, BatchProtocol.Failure>) -> Void) {
        let (member, epoch, generation, offsets) = (member, epoch, generation, offsets)
        guard simulation.schedule.isExactlyOnce else {
            return call(.broker) { [broker] () throws(SimulatedBroker.Refusal) in
                try broker.commitOffsets(offsets, member, generation: generation)
            } _: {
                then($0)
            }
        }
        guard let transaction else { return }
        call(.broker) { [broker] () throws(SimulatedBroker.Refusal) in
            try broker.commit(transaction: transaction, member.instance, epoch: epoch)
        } _: {
            then($0)
        }
    }

    func abort() {
        guard simulation.schedule.isExactlyOnce, breakage != .conflictKeepsTransaction else {
            return later(1...2) { self.step(.aborted) }
        }
        let (member, epoch) = (member, epoch)
        call(.broker) { [broker] () throws(SimulatedBroker.Refusal) in
            try broker.abort(member.instance, epoch: epoch)
        } _: { [self] result in
            answer(result) { .aborted }
        }
    }

    func finish(_ outcome: BatchProtocol.Outcome) {
        if outcome == .abandoned { simulation.report.abandoned += 1 }
        if outcome == .delivered, simulation.schedule.isExactlyOnce, let transaction,
            broker.transactions[transaction].state != .committed
        {
            simulation.violate(.openOutcomeStaysOpen, "a batch counts as delivered that was not committed")
        }
        batch = nil
        transaction = nil
        if isStopping { return end(.stopped) }
        later(1...3) { self.takeNext() }
    }

    /// The process is gone: answers find nobody.
    func die() { isEnded = true }

    func end(_ ending: BatchProtocol.Ending) {
        guard !isEnded else { return }
        isEnded = true
        // A stopped member leaves; one that failed is back before its session ends.
        if ending == .stopped, broker.leave(member) { simulation.formGroup() }
        worker.sessionEnded(ending)
    }
}
