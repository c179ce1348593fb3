-- Media: what users uploaded, what was made of it, and the bytes behind both.

CREATE TABLE media_store (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id text NOT NULL
);
COMMENT ON TABLE media_store IS 'Which storage holds the bytes: a directory carries this id too, so that another one is noticed. One row for each database.';
COMMENT ON COLUMN media_store.one IS 'Always true: there is one row.';
COMMENT ON COLUMN media_store.id IS 'The storage''s id, random.';

CREATE TABLE media_blob (
    nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256 bytea NOT NULL UNIQUE,
    size bigint NOT NULL,
    object text COLLATE "C" NOT NULL UNIQUE,
    stored_ts bigint NOT NULL,
    scanned_ts bigint,
    infected boolean NOT NULL DEFAULT false,
    examined boolean NOT NULL DEFAULT false,
    width integer,
    height integer,
    blurhash text
);
COMMENT ON TABLE media_blob IS 'Bytes in the storage, once for all media that have them. Deleted with the last medium and thumbnail.';
COMMENT ON COLUMN media_blob.nid IS 'Its number here.';
COMMENT ON COLUMN media_blob.sha256 IS 'Their hash.';
COMMENT ON COLUMN media_blob.size IS 'How many they are.';
COMMENT ON COLUMN media_blob.object IS 'Where they are in the storage.';
COMMENT ON COLUMN media_blob.stored_ts IS 'When they were stored, milliseconds since the epoch.';
COMMENT ON COLUMN media_blob.scanned_ts IS 'When the scanner last said what they are; null where it did not.';
COMMENT ON COLUMN media_blob.infected IS 'What it said: true where they must not be served.';
COMMENT ON COLUMN media_blob.examined IS 'Whether they were looked at as a picture.';
COMMENT ON COLUMN media_blob.width IS 'The picture''s width in pixels, upright; null where it is none.';
COMMENT ON COLUMN media_blob.height IS 'Its height.';
COMMENT ON COLUMN media_blob.blurhash IS 'Its blurhash, where a client asked for it.';

CREATE TABLE media (
    nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    user_nid bigint,
    blob_nid bigint REFERENCES media_blob (nid),
    size bigint NOT NULL DEFAULT 0,
    content_type text NOT NULL DEFAULT 'application/octet-stream',
    file_name text,
    preview boolean NOT NULL DEFAULT false,
    created_ts bigint NOT NULL,
    filled_ts bigint,
    expires_ts bigint,
    used_ts bigint NOT NULL,
    lasting boolean NOT NULL DEFAULT false,
    quarantined_by text,
    UNIQUE (server, id)
);
CREATE INDEX media_user ON media (user_nid, nid);
CREATE INDEX media_blob_nid ON media (blob_nid);
CREATE INDEX media_used ON media (used_ts)
    WHERE blob_nid IS NOT NULL AND NOT preview AND NOT lasting AND quarantined_by IS NULL;
CREATE INDEX media_preview_used ON media (used_ts) WHERE blob_nid IS NOT NULL AND preview AND NOT lasting;
CREATE INDEX media_expires ON media (expires_ts) WHERE blob_nid IS NULL;
COMMENT ON TABLE media IS 'What an mxc URI names. Trimmed by retention and expiry, or deleted by an administrator.';
COMMENT ON COLUMN media.nid IS 'Its number here.';
COMMENT ON COLUMN media.server IS 'The server that it is of.';
COMMENT ON COLUMN media.id IS 'Its media id.';
COMMENT ON COLUMN media.user_nid IS 'The local user who uploaded it; null for other servers'' media.';
COMMENT ON COLUMN media.blob_nid IS 'Its bytes; null while the id is only reserved.';
COMMENT ON COLUMN media.size IS 'How many they are: what counts against the quota.';
COMMENT ON COLUMN media.content_type IS 'What its uploader said it is, or what it looks like.';
COMMENT ON COLUMN media.file_name IS 'What its uploader called it.';
COMMENT ON COLUMN media.preview IS 'Whether it is a picture of a URL preview, which counts against nobody''s quota.';
COMMENT ON COLUMN media.created_ts IS 'When the id was made, milliseconds since the epoch.';
COMMENT ON COLUMN media.filled_ts IS 'When the bytes came.';
COMMENT ON COLUMN media.expires_ts IS 'Until when a reserved id waits for them.';
COMMENT ON COLUMN media.used_ts IS 'When it was last asked for, within an hour.';
COMMENT ON COLUMN media.lasting IS 'An avatar or a sticker: exempt from retention.';
COMMENT ON COLUMN media.quarantined_by IS 'The administrator who forbids to serve it.';

CREATE TABLE media_thumbnail (
    blob_nid bigint NOT NULL REFERENCES media_blob (nid),
    width integer NOT NULL,
    height integer NOT NULL,
    crop boolean NOT NULL,
    animated boolean NOT NULL,
    image_nid bigint NOT NULL REFERENCES media_blob (nid),
    content_type text NOT NULL,
    made_ts bigint NOT NULL,
    PRIMARY KEY (blob_nid, width, height, crop, animated)
);
CREATE INDEX media_thumbnail_image ON media_thumbnail (image_nid);
COMMENT ON TABLE media_thumbnail IS 'Thumbnails made of blobs. Deleted with the blob.';
COMMENT ON COLUMN media_thumbnail.blob_nid IS 'What it was made of.';
COMMENT ON COLUMN media_thumbnail.width IS 'The width of its size class.';
COMMENT ON COLUMN media_thumbnail.height IS 'The height of its size class.';
COMMENT ON COLUMN media_thumbnail.crop IS 'Cropped to that, or scaled to fit.';
COMMENT ON COLUMN media_thumbnail.animated IS 'Whether it moves.';
COMMENT ON COLUMN media_thumbnail.image_nid IS 'The thumbnail itself.';
COMMENT ON COLUMN media_thumbnail.content_type IS 'What it is.';
COMMENT ON COLUMN media_thumbnail.made_ts IS 'When it was made, milliseconds since the epoch.';

CREATE TABLE media_usage (
    user_nid bigint PRIMARY KEY,
    bytes bigint NOT NULL,
    files bigint NOT NULL
);
COMMENT ON TABLE media_usage IS 'How much each local user has uploaded, and under 0 the pictures of previews. One row for each user.';
COMMENT ON COLUMN media_usage.user_nid IS 'The user; 0 for the pictures of previews.';
COMMENT ON COLUMN media_usage.bytes IS 'The bytes of their media.';
COMMENT ON COLUMN media_usage.files IS 'How many media that are.';

CREATE TABLE media_loose (
    object text COLLATE "C" PRIMARY KEY,
    incarnation bigint NOT NULL,
    upload_id text,
    since_ts bigint NOT NULL
);
CREATE INDEX media_loose_since ON media_loose (since_ts);
COMMENT ON TABLE media_loose IS 'Objects of the storage that no blob names: on their way in or out. Deleted when they have arrived or are gone.';
COMMENT ON COLUMN media_loose.object IS 'Where it is in the storage.';
COMMENT ON COLUMN media_loose.incarnation IS 'The process that writes it; 0 where it is to be deleted.';
COMMENT ON COLUMN media_loose.upload_id IS 'The storage''s own id of an upload in parts.';
COMMENT ON COLUMN media_loose.since_ts IS 'Since when, milliseconds since the epoch.';

CREATE TABLE media_part (
    media_nid bigint NOT NULL REFERENCES media (nid) ON DELETE CASCADE,
    start bigint NOT NULL,
    size bigint NOT NULL,
    object text COLLATE "C" NOT NULL UNIQUE,
    PRIMARY KEY (media_nid, start)
);
COMMENT ON TABLE media_part IS 'What has come of uploads that are made in several requests. Deleted when all of it has come, or the id expires.';
COMMENT ON COLUMN media_part.media_nid IS 'The reserved medium.';
COMMENT ON COLUMN media_part.start IS 'The offset of its first byte.';
COMMENT ON COLUMN media_part.size IS 'How many bytes it has.';
COMMENT ON COLUMN media_part.object IS 'Where it is in the storage.';

CREATE TABLE media_blocked (
    sha256 bytea PRIMARY KEY,
    blocked_by text NOT NULL,
    blocked_ts bigint NOT NULL
);
COMMENT ON TABLE media_blocked IS 'Content that is neither taken nor served. Kept until an administrator lifts it.';
COMMENT ON COLUMN media_blocked.sha256 IS 'Its hash.';
COMMENT ON COLUMN media_blocked.blocked_by IS 'Who said so.';
COMMENT ON COLUMN media_blocked.blocked_ts IS 'When, milliseconds since the epoch.';

CREATE TABLE url_preview (
    url_hash bytea PRIMARY KEY,
    url text NOT NULL,
    language text NOT NULL,
    preview text,
    fetched_ts bigint NOT NULL,
    expires_ts bigint NOT NULL
);
CREATE INDEX url_preview_expires ON url_preview (expires_ts);
COMMENT ON TABLE url_preview IS 'What pages say about themselves. Trimmed when it expires.';
COMMENT ON COLUMN url_preview.url_hash IS 'SHA-256 of the language, a NUL and the URL.';
COMMENT ON COLUMN url_preview.url IS 'The page.';
COMMENT ON COLUMN url_preview.language IS 'The languages it was asked for in.';
COMMENT ON COLUMN url_preview.preview IS 'The OpenGraph data as JSON; null where the page could not be had.';
COMMENT ON COLUMN url_preview.fetched_ts IS 'When it was fetched, milliseconds since the epoch.';
COMMENT ON COLUMN url_preview.expires_ts IS 'Until when it is believed.';
