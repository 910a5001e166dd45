-- The change log says what validation found.

ALTER TABLE change ADD COLUMN report text;

-- Beside the function of the first schema, which processes of the version before go on to call.
CREATE FUNCTION vw_write(
    ks uuid[], kinds integer[], olds bigint[], ats bigint[], tenants integer[], ids text[], swept boolean,
    typesets integer[], scopes text[], syss text[], createds bigint[], modifieds bigint[], expires bigint[],
    next_expiries bigint[], owners text[], docs text[],
    operations text[], attributes text[], reports text[],
    value_i integer[], value_attr integer[], value_dataset integer[], value_seq integer[], value_kind integer[],
    value_num double precision[], value_txt text[], value_tim bigint[], value_expires bigint[],
    gone_i integer[], gone_attr integer[], gone_dataset integer[], gone_seq integer[],
    geometry_i integer[], geometry_attr integer[], geometry_dataset integer[], geometry_seq integer[],
    geometry_geojson text[], geometry_min_x double precision[], geometry_max_x double precision[],
    geometry_min_y double precision[], geometry_max_y double precision[], geometry_valid boolean[],
    vanished_i integer[], vanished_attr integer[], vanished_dataset integer[], vanished_seq integer[],
    scope_i integer[], scope_scope text[], left_i integer[], left_scope text[],
    history_i integer[], history_attr integer[], history_dataset integer[], history_time bigint[],
    history_hash bytea[], history_modified bigint[], history_deleted integer[], history_num double precision[],
    history_instance text[],
    count_tenant integer[], count_typeset integer[], count_attr integer[], count_type text[], count_count bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    versions bigint[];
    written integer;
BEGIN
    versions := ARRAY(
        SELECT CASE WHEN x.kind = 3 THEN x.old ELSE nextval('version') END
        FROM unnest(kinds, olds) WITH ORDINALITY AS x(kind, old, i) ORDER BY x.i
    );

    IF 3 = ANY (kinds) THEN
        PERFORM FROM unnest(ks, kinds, olds) AS x(k, kind, old) JOIN entity e ON e.k = x.k AND e.version = x.old
        WHERE x.kind = 3 FOR SHARE OF e;
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written <> cardinality(array_positions(kinds, 3)) THEN
            RAISE EXCEPTION USING ERRCODE = 'VW001', MESSAGE = 'a change lost its race';
        END IF;
    END IF;

    IF cardinality(gone_i) > 0 THEN
        DELETE FROM value v USING unnest(gone_i, gone_attr, gone_dataset, gone_seq) AS x(i, attr, dataset, seq)
        WHERE v.k = ks[x.i] AND v.attr = x.attr AND v.dataset = x.dataset AND v.seq = x.seq;
    END IF;
    IF cardinality(vanished_i) > 0 THEN
        DELETE FROM entity_geometry g
        USING unnest(vanished_i, vanished_attr, vanished_dataset, vanished_seq) AS x(i, attr, dataset, seq)
        WHERE g.k = ks[x.i] AND g.attr = x.attr AND g.dataset = x.dataset AND g.seq = x.seq;
    END IF;
    IF cardinality(left_i) > 0 THEN
        DELETE FROM entity_scope s USING unnest(left_i, left_scope) AS x(i, scope)
        WHERE s.k = ks[x.i] AND s.scope = x.scope;
    END IF;

    IF 2 = ANY (kinds) THEN
        DELETE FROM entity e USING unnest(ks, kinds, olds, ats) AS x(k, kind, old, at)
        WHERE x.kind = 2 AND e.k = x.k AND e.version = x.old
            AND (swept OR e.next_expiry IS NULL OR e.next_expiry > x.at);
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written <> cardinality(array_positions(kinds, 2)) THEN
            RAISE EXCEPTION USING ERRCODE = 'VW001', MESSAGE = 'a change lost its race';
        END IF;
    END IF;
    IF 0 = ANY (kinds) THEN
        INSERT INTO entity
        SELECT x.k, x.tenant, x.id, x.typeset, x.scope, x.sys, x.created, x.modified, x.version, x.expires,
            x.next_expiry, x.owner, x.doc
        FROM unnest(
            ks, kinds, tenants, ids, typesets, scopes, syss, createds, modifieds, versions, expires, next_expiries,
            owners, docs
        ) AS x(
            k, kind, tenant, id, typeset, scope, sys, created, modified, version, expires, next_expiry, owner, doc
        )
        WHERE x.kind = 0
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written <> cardinality(array_positions(kinds, 0)) THEN
            RAISE EXCEPTION USING ERRCODE = 'VW001', MESSAGE = 'a change lost its race';
        END IF;
    END IF;
    IF 1 = ANY (kinds) THEN
        UPDATE entity e SET typeset = x.typeset, scope = x.scope, sys = x.sys, created_at = x.created,
            modified_at = x.modified, version = x.version, expires_at = x.expires, next_expiry = x.next_expiry,
            owner = x.owner, doc = x.doc
        FROM unnest(
            ks, kinds, olds, ats, typesets, scopes, syss, createds, modifieds, versions, expires, next_expiries,
            owners, docs
        ) AS x(
            k, kind, old, at, typeset, scope, sys, created, modified, version, expires, next_expiry, owner, doc
        )
        WHERE x.kind = 1 AND e.k = x.k AND e.version = x.old
            AND (swept OR e.next_expiry IS NULL OR e.next_expiry > x.at);
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written <> cardinality(array_positions(kinds, 1)) THEN
            RAISE EXCEPTION USING ERRCODE = 'VW001', MESSAGE = 'a change lost its race';
        END IF;
    END IF;

    written := 0;
    IF cardinality(value_i) > 0 AND 1 = ANY (kinds) THEN
        UPDATE value v SET tenant = tenants[x.i], typeset = typesets[x.i], kind = x.kind, num = x.num, txt = x.txt,
            tim = x.tim, expires_at = x.expires
        FROM unnest(
            value_i, value_attr, value_dataset, value_seq, value_kind, value_num, value_txt, value_tim, value_expires
        ) AS x(i, attr, dataset, seq, kind, num, txt, tim, expires)
        WHERE kinds[x.i] = 1 AND v.k = ks[x.i] AND v.attr = x.attr AND v.dataset = x.dataset AND v.seq = x.seq;
        GET DIAGNOSTICS written = ROW_COUNT;
    END IF;
    IF cardinality(value_i) > written THEN
        INSERT INTO value
        SELECT ks[x.i], x.attr, x.dataset, x.seq, tenants[x.i], typesets[x.i], x.kind, x.num, x.txt, x.tim, x.expires
        FROM unnest(
            value_i, value_attr, value_dataset, value_seq, value_kind, value_num, value_txt, value_tim, value_expires
        ) AS x(i, attr, dataset, seq, kind, num, txt, tim, expires)
        WHERE kinds[x.i] = 0 OR NOT EXISTS (
            SELECT FROM value v
            WHERE v.k = ks[x.i] AND v.attr = x.attr AND v.dataset = x.dataset AND v.seq = x.seq
        );
    END IF;
    IF cardinality(geometry_i) > 0 THEN
        PERFORM vw_geometries(
            ks, tenants, geometry_i, geometry_attr, geometry_dataset, geometry_seq, geometry_geojson, geometry_min_x,
            geometry_max_x, geometry_min_y, geometry_max_y, geometry_valid
        );
    END IF;
    IF cardinality(scope_i) > 0 THEN
        INSERT INTO entity_scope
        SELECT ks[x.i], x.scope, tenants[x.i] FROM unnest(scope_i, scope_scope) AS x(i, scope);
    END IF;

    INSERT INTO history
    SELECT ks[x.i], x.attr, x.dataset, x.time, x.hash, tenants[x.i], NULL, x.modified, x.deleted, versions[x.i], x.num,
        x.instance
    FROM unnest(
        history_i, history_attr, history_dataset, history_time, history_hash, history_modified, history_deleted,
        history_num, history_instance
    ) AS x(i, attr, dataset, time, hash, modified, deleted, num, instance)
    ON CONFLICT DO NOTHING;

    INSERT INTO change (k, tenant, entity_id, operation, attributes, old_version, new_version, at, report)
    SELECT ks[x.i], tenants[x.i], ids[x.i], x.operation, x.attributes, olds[x.i], versions[x.i], ats[x.i],
        x.report
    FROM unnest(operations, attributes, reports) WITH ORDINALITY AS x(operation, attributes, report, i) ORDER BY x.i;

    IF cardinality(count_tenant) > 0 THEN
        INSERT INTO occurrence_delta (tenants, typesets, attrs, types, counts)
        VALUES (count_tenant, count_typeset, count_attr, count_type, count_count);
    END IF;
END
$$;
