//! Security descriptors of files: the SMB library has no call for them, but its messages do.

use smb2::{
    client::{Connection, Tree},
    msg::{
        create::{
            CreateDisposition, CreateRequest, CreateResponse, ImpersonationLevel, ShareAccess,
        },
        query_info::{QueryInfoRequest, QueryInfoResponse},
        set_info::{InfoType, SetInfoRequest},
    },
    pack::{Pack, ReadCursor, Unpack},
    types::{Command, FileId, OplockLevel, flags::FileAccessMask, status::NtStatus},
};

/// Owner, group and DACL (MS-DTYP 2.4.7).
const OWNER_GROUP_DACL: u32 = 0x7;
/// The DACL is not inherited (MS-DTYP 2.4.7): without this the server would merge the parent's.
const PROTECTED_DACL: u32 = 0x8000_0000;
/// Where a descriptor of policy ends up far above any in use.
const MOST: u32 = 64 * 1024;
/// Open a link itself and not where it leads.
const OPEN_REPARSE_POINT: u32 = 0x0020_0000;

/// Reads owner, group and DACL.
pub(crate) async fn read(
    connection: &mut Connection,
    tree: &Tree,
    path: &str,
) -> smb2::Result<Vec<u8>> {
    let id = open(connection, tree, path, FileAccessMask::READ_CONTROL).await?;
    let query = QueryInfoRequest {
        info_type: InfoType::Security,
        file_info_class: 0,
        output_buffer_length: MOST,
        additional_information: OWNER_GROUP_DACL,
        flags: 0,
        file_id: id,
        input_buffer: Vec::new(),
    };
    let answer = send(connection, tree, Command::QueryInfo, &query).await;
    tree.close_handle(connection, id).await?;
    let answer = answer?;
    let answer = QueryInfoResponse::unpack(&mut ReadCursor::new(&answer))?;
    Ok(answer.output_buffer)
}

/// Replaces owner, group and DACL by a descriptor's.
pub(crate) async fn write(
    connection: &mut Connection,
    tree: &Tree,
    path: &str,
    descriptor: &[u8],
) -> smb2::Result<()> {
    let rights =
        FileAccessMask::READ_CONTROL | FileAccessMask::WRITE_DAC | FileAccessMask::WRITE_OWNER;
    let id = open(connection, tree, path, rights).await?;
    let change = SetInfoRequest {
        info_type: InfoType::Security,
        file_info_class: 0,
        additional_information: OWNER_GROUP_DACL | PROTECTED_DACL,
        file_id: id,
        buffer: descriptor.to_vec(),
    };
    let answer = send(connection, tree, Command::SetInfo, &change).await;
    tree.close_handle(connection, id).await?;
    answer.map(drop)
}

async fn open(
    connection: &mut Connection,
    tree: &Tree,
    path: &str,
    rights: u32,
) -> smb2::Result<FileId> {
    let shared = ShareAccess::FILE_SHARE_READ
        | ShareAccess::FILE_SHARE_WRITE
        | ShareAccess::FILE_SHARE_DELETE;
    let plain = path.replace('/', "\\");
    let name = if tree.is_dfs {
        format!("{}\\{}\\{plain}", tree.server, tree.share_name)
    } else {
        plain
    };
    let request = CreateRequest {
        requested_oplock_level: OplockLevel::None,
        impersonation_level: ImpersonationLevel::Impersonation,
        desired_access: FileAccessMask::new(rights),
        file_attributes: 0,
        share_access: ShareAccess(shared),
        create_disposition: CreateDisposition::FileOpen,
        create_options: OPEN_REPARSE_POINT,
        name,
        create_contexts: Vec::new(),
    };
    let answer = send(connection, tree, Command::Create, &request).await?;
    let answer = CreateResponse::unpack(&mut ReadCursor::new(&answer))?;
    Ok(answer.file_id)
}

async fn send(
    connection: &Connection,
    tree: &Tree,
    command: Command,
    request: &dyn Pack,
) -> smb2::Result<Vec<u8>> {
    let frame = connection
        .execute(command, request, Some(tree.tree_id))
        .await?;
    match frame.header.status {
        NtStatus::SUCCESS => Ok(frame.body),
        status => Err(smb2::Error::Protocol { status, command }),
    }
}
