#pragma once
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

// Newer than Debian's headers, and than its library: a null pointer there.
extern void rd_kafka_mock_group_initial_rebalance_delay_ms(
    rd_kafka_mock_cluster_t *cluster, int32_t milliseconds) __attribute__((weak));

// The group's generation, or -2 where the library cannot tell.
extern int32_t rd_kafka_consumer_group_metadata_generation_id(
    const rd_kafka_consumer_group_metadata_t *metadata) __attribute__((weak));

static inline int32_t kafka_group_generation(const rd_kafka_consumer_group_metadata_t *metadata) {
    return rd_kafka_consumer_group_metadata_generation_id
               ? rd_kafka_consumer_group_metadata_generation_id(metadata)
               : -2;
}

static inline void kafka_mock_set_join_delay(rd_kafka_mock_cluster_t *cluster, int32_t milliseconds) {
    if (rd_kafka_mock_group_initial_rebalance_delay_ms)
        rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, milliseconds);
}

// rd_kafka_producev() is variadic, which Swift cannot call. Payload and key are copied. On success the
// headers belong to librdkafka, on an error they stay the caller's.
static inline rd_kafka_resp_err_t kafka_produce_with_headers(
    rd_kafka_t *client, rd_kafka_topic_t *topic, const void *key, size_t key_size,
    const void *payload, size_t payload_size, rd_kafka_headers_t *headers) {
    return rd_kafka_producev(
        client, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(key, key_size), RD_KAFKA_V_VALUE((void *)payload, payload_size),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
}
