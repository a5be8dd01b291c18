import Redis

/// What changes the keys of `RedisJobStore` together. All of them have the hash tag `{jobs}`: they lie in one slot of a
/// cluster, and one script sees and changes them as one.
///
///     job:<id>            hash: rev, holder, body, place, submitter, kin, key; while it runs stage, progress, updated
///     parts:<id>          hash: finished parts of a job for all users
///     sharing:<id>        hash: what its parts are made of (basis), and who works on which
///     members:<id>        sorted set: who works on them, by the end of the lease; shared: jobs that have such
///     all                 sorted set: every job, by its place in the order of submission
///     waiting             sorted set: those that wait, by place; waiting:<submitter> theirs alone
///     queue:<submitter>   sorted set: those of them that may be taken now, by place; submitters: who has any
///     later               sorted set: those that are put off, by the time from which on
///     held                sorted set: those that run, by the end of the lease
///     ended               sorted set: those that have ended, by the time
///     kin:<digest>        sorted set: those that wait and that one pass over the lake serves, by place
///     begun               hash: when a submitter's latest job was begun, which says whose turn it is
///     hour:<submitter>    sorted set: what was submitted within an hour, by the time
///     keys                hash: idempotency keys
///     damaged             list: records that could not be read
enum RedisJobScripts {
    /// Functions that the scripts share. ARGV[1] is the prefix of all keys.
    private static let prelude = """
        local P = ARGV[1]
        local function key(name, id) return P .. name .. ':' .. id end

        -- Of a job's record; nothing where there is none, or something else in its place.
        local function fields(id, ...)
            local found = redis.pcall('HMGET', key('job', id), ...)
            if found.err then
                redis.call('DEL', key('job', id))
                return {}
            end
            return found
        end

        -- Takes a job out of all sets that say what it does.
        local function leave(id, submitter, kin)
            for _, set in ipairs({'waiting', 'later', 'held', 'ended'}) do redis.call('ZREM', P .. set, id) end
            redis.call('ZREM', key('waiting', submitter), id)
            redis.call('ZREM', key('queue', submitter), id)
            if redis.call('ZCARD', key('queue', submitter)) == 0 then redis.call('SREM', P .. 'submitters', submitter) end
            if kin ~= '' then redis.call('ZREM', key('kin', kin), id) end
        end

        local function wait(id, submitter, kin, place, available)
            redis.call('ZADD', P .. 'waiting', place, id)
            redis.call('ZADD', key('waiting', submitter), place, id)
            if kin ~= '' then redis.call('ZADD', key('kin', kin), place, id) end
            if available == '' then
                redis.call('ZADD', key('queue', submitter), place, id)
                redis.call('SADD', P .. 'submitters', submitter)
            else
                redis.call('ZADD', P .. 'later', available, id)
            end
        end

        local function endParts(id)
            redis.call('DEL', key('parts', id), key('sharing', id), key('members', id))
            redis.call('SREM', P .. 'shared', id)
        end

        local function remove(id)
            local job = fields(id, 'submitter', 'kin', 'key', 'place')
            leave(id, job[1] or '', job[2] or '')
            redis.call('ZREM', P .. 'all', id)
            if job[3] and job[3] ~= '' and redis.call('HGET', P .. 'keys', job[3]) == id then
                redis.call('HDEL', P .. 'keys', job[3])
            end
            redis.call('DEL', key('job', id))
            endParts(id)
            return job[4] and 1 or 0
        end

        -- Some at a time: whoever calls next goes on.
        local function prune(kept, since)
            local excess = redis.call('ZCARD', P .. 'ended') - kept
            if excess > 0 then
                for _, id in ipairs(redis.call('ZRANGE', P .. 'ended', 0, math.min(excess, 1000) - 1)) do remove(id) end
            end
            for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'ended', '-inf', since, 'LIMIT', 0, 100)) do
                remove(id)
            end
        end


        """

    private static func script(_ source: String) -> RedisScript { RedisScript(prelude + source) }

    /// ARGV: prefix, id, key or empty, limit, body, kin, submitter, now, waiting and within an hour at most.
    static let submit = script(
        """
        local id, known, submitter, now = ARGV[2], ARGV[3], ARGV[7], ARGV[8]
        if known ~= '' then
            local job = redis.call('HGET', P .. 'keys', known)
            if job and fields(job, 'place')[1] then return {'known', job} end
        end
        if redis.call('ZCARD', P .. 'waiting') >= tonumber(ARGV[4]) then return {'full', ''} end
        if submitter ~= '' then
            if redis.call('ZCARD', key('waiting', submitter)) >= tonumber(ARGV[9]) then return {'waiting', ''} end
            local hour = key('hour', submitter)
            redis.call('ZREMRANGEBYSCORE', hour, '-inf', tonumber(now) - 3600000)
            -- The oldest of the last so many: when it is an hour old there is room for one more.
            local place = math.max(1, tonumber(ARGV[10])) - 1
            local oldest = redis.call('ZREVRANGE', hour, place, place, 'WITHSCORES')[2]
            if oldest then return {'hour', oldest} end
            redis.call('ZADD', hour, now, id)
            redis.call('PEXPIRE', hour, 3600000)
        end
        local place = redis.call('INCR', P .. 'count')
        redis.call('HSET', key('job', id), 'rev', 1, 'holder', '', 'body', ARGV[5], 'kin', ARGV[6], 'key', known,
            'submitter', submitter, 'place', place)
        redis.call('ZADD', P .. 'all', place, id)
        wait(id, submitter, ARGV[6], place, '')
        if known ~= '' then redis.call('HSET', P .. 'keys', known, id) end
        return {'new', ''}
        """)

    /// ARGV: prefix, ended jobs that are kept, since when, then of each change: id, field, expected, state, score (of one that
    /// waits the time from which on, or empty), holder, body, when it was begun, or empty.
    ///
    /// Answers for each whether it was written.
    static let apply = script(
        """
        local answers = {}
        for i = 4, #ARGV, 8 do
            local id, state, score = ARGV[i], ARGV[i + 3], ARGV[i + 4]
            local job = fields(id, ARGV[i + 1], 'submitter', 'kin', 'place')
            if job[1] and job[1] ~= '' and job[1] == ARGV[i + 2] then
                local submitter, kin, place = job[2] or '', job[3] or '', tonumber(job[4]) or 0
                redis.call('HINCRBY', key('job', id), 'rev', 1)
                redis.call('HSET', key('job', id), 'holder', ARGV[i + 5], 'body', ARGV[i + 6])
                redis.call('HDEL', key('job', id), 'stage', 'progress', 'updated')
                leave(id, submitter, kin)
                if state == 'queued' then
                    wait(id, submitter, kin, place, score)
                elseif state == 'running' then
                    redis.call('ZADD', P .. 'held', score, id)
                    if ARGV[i + 7] ~= '' then redis.call('HSET', P .. 'begun', submitter, ARGV[i + 7]) end
                else
                    redis.call('ZADD', P .. 'ended', score, id)
                    endParts(id)
                end
                answers[#answers + 1] = 1
            else
                answers[#answers + 1] = 0
            end
        end
        prune(tonumber(ARGV[2]), ARGV[3])
        return answers
        """)

    /// ARGV: prefix, lease, now, then of each job: id, holder, stage, progress. Answers for each whether it is still held.
    static let renew = script(
        """
        local answers = {}
        for i = 4, #ARGV, 4 do
            local id = ARGV[i]
            if fields(id, 'holder')[1] == ARGV[i + 1] then
                redis.call('ZADD', P .. 'held', ARGV[2], id)
                redis.call('ZADD', key('members', id), 'XX', ARGV[2], ARGV[i + 1])
                redis.call('HSET', key('job', id), 'updated', ARGV[3], 'stage', ARGV[i + 2], 'progress', ARGV[i + 3])
                answers[#answers + 1] = 1
            else
                answers[#answers + 1] = 0
            end
        end
        return answers
        """)

    /// ARGV: prefix, id. Answers whether there was one.
    static let removing = script("return remove(ARGV[2])")

    /// ARGV: prefix, now, ended jobs that are kept, since when. The next whose turn it is, or whose holder's lease has ended:
    /// id, revision, body; nothing: none. A body that is empty has no record, and its place is free now.
    static let next = script(
        """
        prune(tonumber(ARGV[3]), ARGV[4])
        for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'later', '-inf', ARGV[2], 'LIMIT', 0, 1000)) do
            redis.call('ZREM', P .. 'later', id)
            local job = fields(id, 'submitter', 'kin', 'place')
            if job[3] then
                wait(id, job[1] or '', job[2] or '', tonumber(job[3]) or 0, '')
            else
                remove(id)
            end
        end
        local best, turn, first, whose
        local function offer(submitter, id, place)
            local begun = tonumber(redis.call('HGET', P .. 'begun', submitter) or '0') or 0
            if not best or begun < turn or (begun == turn and place < first) then
                best, turn, first, whose = id, begun, place, submitter
            end
        end
        for _, submitter in ipairs(redis.call('SMEMBERS', P .. 'submitters')) do
            local oldest = redis.call('ZRANGE', key('queue', submitter), 0, 0, 'WITHSCORES')
            if oldest[1] then
                offer(submitter, oldest[1], tonumber(oldest[2]))
            else
                redis.call('SREM', P .. 'submitters', submitter)
            end
        end
        for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'held', '-inf', ARGV[2], 'LIMIT', 0, 1000)) do
            local job = fields(id, 'submitter', 'place')
            offer(job[1] or '', id, tonumber(job[2]) or 0)
        end
        if not best then return false end
        local job = fields(best, 'rev', 'body')
        if not job[2] or job[2] == '' then
            leave(best, whose, '')
            remove(best)
        end
        return {best, job[1] or '0', job[2] or ''}
        """)

    /// ARGV: prefix, kin. Ids of those that wait and ask for the same, the oldest first.
    static let alike = script(
        """
        local found = {}
        for _, id in ipairs(redis.call('ZRANGE', key('kin', ARGV[2]), 0, -1)) do
            if fields(id, 'place')[1] then
                found[#found + 1] = id
            else
                redis.call('ZREM', key('kin', ARGV[2]), id)
            end
        end
        return found
        """)

    /// ARGV: prefix, worker. Ends the leases of what a worker holds.
    static let release = script(
        """
        for _, id in ipairs(redis.call('ZRANGE', P .. 'held', 0, -1)) do
            local holder = fields(id, 'holder')[1]
            if holder and string.match(holder, '^%d+:(.*)$') == ARGV[2] then redis.call('ZADD', P .. 'held', 0, id) end
        end
        """)

    // MARK: Parts of a job for all users

    /// ARGV: prefix, id, member, of the holder 1, now, lease, basis. The holder says what the parts are made of; others take
    /// part if they would make them of the same. Answers whether the member may.
    static let join = script(
        """
        local id, holder = ARGV[2], fields(ARGV[2], 'holder')[1] or ''
        if holder == '' then return 0 end
        if ARGV[4] == '1' then
            if holder ~= ARGV[3] then return 0 end
            redis.call('HSET', key('sharing', id), 'basis', ARGV[7])
            redis.call('SADD', P .. 'shared', id)
        elseif redis.call('HGET', key('sharing', id), 'basis') ~= ARGV[7] then
            return 0
        end
        redis.call('ZADD', key('members', id), ARGV[6], ARGV[3])
        return 1
        """)

    /// Parts that nobody has finished and nobody alive works on but the member itself; and how many are not finished.
    private static let free = """
        local function free(id, member, now, limit)
            local found, open = {}, 0
            for number = 0, \(History.partCount - 1) do
                if redis.call('HEXISTS', key('parts', id), number) == 0 then
                    open = open + 1
                    if #found < limit then
                        local by = redis.call('HGET', key('sharing', id), number)
                        local lease = by and by ~= member and redis.call('ZSCORE', key('members', id), by)
                        if not lease or tonumber(lease) <= now then found[#found + 1] = number end
                    end
                end
            end
            return found, open
        end

        """

    /// ARGV: prefix, now. A job that has parts for whoever comes; nothing: none.
    static let joinable = script(
        free + """
            for _, id in ipairs(redis.call('SMEMBERS', P .. 'shared')) do
                local holder = fields(id, 'holder')[1] or ''
                if holder == '' then
                    redis.call('SREM', P .. 'shared', id)
                elseif #free(id, '', tonumber(ARGV[2]), 1) > 0 then
                    return id
                end
            end
            return false
            """)

    /// ARGV: prefix, id, member, of the holder 1, now, lease, parts at most. Answers how many parts are not finished and the
    /// numbers of those that are the member's now; a negative number: it takes part no longer. One who helps leaves when a job
    /// waits, one of them each five seconds.
    static let takeParts = script(
        free + """
            local id, member, now = ARGV[2], ARGV[3], tonumber(ARGV[5])
            local holder = fields(id, 'holder')[1] or ''
            if holder == '' or (ARGV[4] == '1' and holder ~= member) then return {-1} end
            if not redis.call('ZSCORE', key('members', id), member) then return {-1} end
            if ARGV[4] ~= '1' and redis.call('SCARD', P .. 'submitters') > 0 then
                if redis.call('SET', key('leaving', id), member, 'NX', 'PX', 5000) then
                    redis.call('ZREM', key('members', id), member)
                    return {-1}
                end
            end
            redis.call('ZADD', key('members', id), ARGV[6], member)
            local found, open = free(id, member, now, tonumber(ARGV[7]))
            for _, number in ipairs(found) do redis.call('HSET', key('sharing', id), number, member) end
            return {open, unpack(found)}
            """)

    /// ARGV: prefix, id, member, lease. Answers whether the job still runs and the member takes part in it.
    static let renewMember = script(
        """
        if (fields(ARGV[2], 'holder')[1] or '') == '' then return 0 end
        if not redis.call('ZSCORE', key('members', ARGV[2]), ARGV[3]) then return 0 end
        redis.call('ZADD', key('members', ARGV[2]), ARGV[4], ARGV[3])
        return 1
        """)

    /// ARGV: prefix, id, member, of the holder 1, number, result. What is written first stands: all make the same of a part.
    static let writePart = script(
        """
        local holder = fields(ARGV[2], 'holder')[1] or ''
        if holder == '' or (ARGV[4] == '1' and holder ~= ARGV[3]) then return 0 end
        if ARGV[4] ~= '1' and not redis.call('ZSCORE', key('members', ARGV[2]), ARGV[3]) then return 0 end
        redis.call('HSETNX', key('parts', ARGV[2]), ARGV[5], ARGV[6])
        return 1
        """)

    /// ARGV: prefix, id, number, result. One that is gone stays so.
    static let replacePart = script(
        """
        if redis.call('HEXISTS', key('parts', ARGV[2]), ARGV[3]) == 1 then
            redis.call('HSET', key('parts', ARGV[2]), ARGV[3], ARGV[4])
        end
        """)
}
